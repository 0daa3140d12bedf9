"""Wiring of the controller: read the settings, build the parts, start the tasks, end them in order.

`python -m controller`; read this file to see which part feeds which.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
import uvloop

from controller import metrics, names, wake, web
from controller.agents import Agents
from controller.announce import EventLog
from controller.certs import Certs
from controller.config import Config, read_config
from controller.errors import ControllerError
from controller.kube import Kube
from controller.leader import Leader
from controller.model import NODE, SC, Body, Key, Kind
from controller.nodes import Nodes
from controller.queue import WorkQueue
from controller.reconcile import Reconciler
from controller.relist import Relist
from controller.store import Store, key_of
from controller.watching import sources, watch

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

log = logging.getLogger("controller")
CERTS_SECONDS = 3600.0
CERTS_RETRY_SECONDS = 5.0
STUCK_SECONDS = 120.0
WATCHDOG_SECONDS = 0.5


class Controller:
    """All parts of one replica."""

    def __init__(self, config: Config, kube: Kube) -> None:
        self.config, self.kube = config, kube
        self.stop = asyncio.Event()
        self.certificates_due = asyncio.Event()
        self.leads = asyncio.Event()
        self.store = Store()
        self.leader = Leader(
            kube,
            config.namespace,
            f"{config.pod_name}_{uuid.uuid4()}",
            on_start=self._leads,
            die=die,
            monotonic=time.monotonic,
        )
        self.agents = Agents(self.store, lambda: self.leader.fence, time.monotonic)
        self.relist = Relist(kube, self.store, config.namespace, time.monotonic)
        self.certs = Certs(kube, config.namespace)
        self.queue = WorkQueue(self._work)
        self.nodes = Nodes(
            kube,
            self.store,
            self.agents,
            may_act=self._may_act,
            monotonic=time.monotonic,
            clock=_now,
        )
        self.reconciler = Reconciler(
            kube,
            self.agents,
            self.store,
            EventLog(kube),
            may_act=self._may_act,
            monotonic=time.monotonic,
            clock=_now,
            wall=lambda: time.time_ns() // 1000,
        )
        self.store.on_news = self.reconciler.news
        self.store.on_object = self._on_object
        self.store.on_root = lambda _node, key: self.queue.add(key)
        self.store.on_agent = self._on_agent

    def _may_act(self) -> bool:
        return self.leader.leading() and self.relist.warm.is_set()

    async def _work(self, key: Key) -> float | None:
        begun = time.monotonic()
        if key.namespace:
            again = await self.reconciler.reconcile(key)
        else:
            again = await self.nodes.reconcile(key)
        metrics.reconciled(time.monotonic() - begun)
        return again

    def _on_object(self, kind: Kind, body: Body) -> None:
        for key in wake.concerned(self.store, kind, body):
            self.queue.add(key)

    def _on_agent(self, node: str) -> None:
        for key in {Key("", node)} | wake.on_node(self.store, node):
            self.queue.add(key)

    def _leads(self) -> None:
        self.certificates_due.set()
        self.leads.set()

    async def _hear(self) -> None:
        """Only the leader listens; a replica in reserve looks at the Lease and nothing else."""
        await self.leads.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.relist.run())
            for source in sources(self.config.namespace):
                group.create_task(watch(self.kube, self.store, source))
            await self.relist.warm.wait()
            # What came before the full LIST was complete was looked at in vain.
            for kind in (NODE, SC):
                for body in self.store.all(kind):
                    self.queue.add(key_of(body))

    async def _certificates(self) -> None:
        while True:
            wait = CERTS_SECONDS
            self.certificates_due.clear()
            try:
                if self.leader.leading():
                    await self.certs.renew(_now())
                tls = await self.certs.client()
                if tls:
                    self.agents.use(tls)
                else:
                    wait = CERTS_RETRY_SECONDS
            except ControllerError as error:
                log.warning("certificates: %s", error)
                wait = CERTS_RETRY_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self.certificates_due.wait()

    def _levels(self) -> None:
        words = self.store.words().values()
        metrics.levels(
            depth=self.queue.depth(),
            leading=self.leader.leading(),
            agents=sum(word.agent.connected for word in words),
        )

    async def run(self) -> None:
        """Everything, until a signal."""
        server = await web.serve(
            self.config.port,
            live={
                "queue": lambda: self.queue.oldest() < STUCK_SECONDS,
                "watch": self.relist.healthy,
            },
            ready={
                "lease": lambda: self.leads.is_set() or self.leader.informed(),
                "store": lambda: self.relist.warm.is_set() or not self.leads.is_set(),
            },
            before_metrics=self._levels,
        )
        threading.Thread(target=watchdog, args=(self.leader,), daemon=True).start()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._hear()),
                    group.create_task(self.queue.run()),
                    group.create_task(self.leader.run()),
                    group.create_task(self._certificates()),
                ]
                await self.stop.wait()
                for task in tasks:
                    task.cancel()
        finally:
            await self.agents.close()
            await server.cleanup()


def watchdog(leader: Leader) -> None:
    """Ends the process when its right to act ends, also when the event loop hangs."""
    while True:
        deadline = leader.deadline()
        if deadline is not None and time.monotonic() >= deadline:
            die("the lease was not renewed")
        # Nothing to wait for: the loop that could tell of something may be what hangs.
        time.sleep(WATCHDOG_SECONDS)


def die(why: str) -> None:
    """At once: a controller without its lease must not finish what it was about."""
    log.error("%s: ending", why)
    os._exit(1)


def _now() -> datetime:
    return datetime.now(UTC)


def _with_fields(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """What a line carries beside its words; `extra` itself may not be called `name`."""
    return {**event, **getattr(event["_record"], "fields", {})}


def set_up_logging(level: str) -> None:
    """JSON lines on stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(json_lines())
    logging.basicConfig(level=level, handlers=[handler], force=True)


def json_lines() -> logging.Formatter:
    """One JSON object a record."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso"),
            _with_fields,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )


async def main() -> None:
    """One replica from start to end."""
    config = read_config()
    set_up_logging(config.log_level)
    kube = await Kube.connect(config.kubeconfig)
    controller = Controller(config, kube)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, controller.stop.set)
    log.info("%s begins", names.FIELD_MANAGER)
    try:
        await controller.run()
    finally:
        await kube.close()


if __name__ == "__main__":
    uvloop.run(main())
