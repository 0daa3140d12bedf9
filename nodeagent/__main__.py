"""The agent's program: wiring, recovery before serving, signals. `python -m nodeagent`.

Each part is built here and handed its doors; nothing is decided here.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

# Read by the grpc core when it is loaded: nothing forks here, and its fork handlers only get in the
# way.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

import structlog

from nodeagent import config, metrics, recovery, report
from nodeagent.admission import Gatekeeper
from nodeagent.agent import Agent
from nodeagent.holders import Holders
from nodeagent.kernel import Linux
from nodeagent.node import Node
from nodeagent.nri import Client
from nodeagent.paths import Paths
from nodeagent.processes import Processes
from nodeagent.runtime import Containerd
from nodeagent.server import Server
from nodeagent.service import NodeAgentService
from nodeagent.store import Store
from nodeagent.writeback import Writeback

_ASK_EVERY = 5.0  # seconds between two questions to the runtime whether it is there
_RESUME_EVERY = 1.0
_log = structlog.get_logger()


def _set_up_logs(level: str) -> None:
    logging.basicConfig(level=level)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )


class Program:
    """All parts of one agent."""

    def __init__(self, settings: config.Config) -> None:
        """Build the parts from the bottom up."""
        self.settings = settings
        self.paths, self.kernel = Paths(settings.base_dir, settings.run_dir), Linux()
        recovery.prepare(self.paths, self.kernel)
        self.gate = recovery.install_gate(settings.gate_source, self.paths)
        self.store = Store(settings.node)
        self.runtime = Containerd(settings.containerd_socket)
        self.holders = Holders(self.kernel, self.store)
        doors = (self.paths, self.kernel, self.runtime, self.store)
        writeback = Writeback(self.paths, self.kernel, self.store)
        self.processes = Processes(*doors, writeback)
        self.agent = Agent(*doors, self.holders, processes=self.processes)
        self.node = Node(settings.node, self.store, self.runtime)
        gatekeeper = Gatekeeper(
            self.store,
            self.holders,
            self.kernel,
            self.runtime,
            processes=self.processes,
            gate=self.gate,
        )
        self.nri = Client(settings.nri_socket, gatekeeper, self._nri_changed, self._nri_answered)
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="settle")

    def _nri_changed(self, connected: bool, why: str) -> None:
        _log.info("nri", connected=connected, why=why)
        metrics.NRI_CONNECTED.set(connected)
        self.node.set_nri(connected, why)

    def _nri_answered(self, event: str, seconds: float) -> None:
        metrics.NRI_SECONDS.labels(event).observe(seconds)

    def _settle(self, uid: str | None) -> None:
        if uid is not None:
            self._disk.submit(self.agent.writeback.settle, uid)

    async def recover(self) -> None:
        """Bring all roots back; only then do containers come."""
        while True:
            await asyncio.to_thread(self.node.ask_runtime)
            if await asyncio.to_thread(recovery.resume, self.agent):
                break
            await asyncio.sleep(_RESUME_EVERY)
        self.node.set_recovered()
        self.nri.start()

    async def watch_runtime(self) -> None:
        """Notice that the runtime went away or came back."""
        while True:
            await asyncio.sleep(_ASK_EVERY)
            await asyncio.to_thread(self.node.ask_runtime)

    async def serve(self) -> None:
        """Serve until a signal comes."""
        loop, stop, changed = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)

        def node_changed(uid: str | None) -> None:
            if uid is None:
                loop.call_soon_threadsafe(changed.set)

        self.store.listen(node_changed)
        self.store.listen(self._settle)
        self.holders.start()
        self.processes.gates.start()
        # Before the first call: what it adds must not be overwritten by what is read.
        await asyncio.to_thread(recovery.load, self.agent)
        service = NodeAgentService(self.agent, self.store, lambda: report.debug(self.agent))
        server = Server(service, self.settings.tls_dir)
        listen = self.settings.listen
        metrics.serve(self.store, listen, self.settings.metrics_port)
        await server.start(listen, self.settings.port, self.settings.health_port)
        _log.info("serving", node=self.settings.node, port=self.settings.port)
        tasks = [
            asyncio.create_task(self._show_ready(server, changed)),
            asyncio.create_task(self.recover()),
            asyncio.create_task(self.watch_runtime()),
        ]
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait((*tasks, stopping), return_when=asyncio.FIRST_COMPLETED)
        while stopping not in done and all(task.exception() is None for task in done):
            tasks = [task for task in tasks if task not in done]
            done, _ = await asyncio.wait((*tasks, stopping), return_when=asyncio.FIRST_COMPLETED)
        self.nri.stop()
        await server.stop()
        for task in done - {stopping}:
            await task  # a part that failed ends the program with its error

    async def _show_ready(self, server: Server, changed: asyncio.Event) -> None:
        while True:
            await server.set_ready(ready=self.store.node.ready)
            await changed.wait()
            changed.clear()


def main() -> None:
    """Run the agent."""
    settings = config.from_environ(os.environ)
    _set_up_logs(settings.log_level)
    # All NRI requests of a node wait for one thread here: it may not wait 5 ms for its turn.
    sys.setswitchinterval(0.0005)
    program = Program(settings)
    asyncio.run(program.serve())
    _log.info("stopped")
    logging.shutdown()
    os._exit(0)  # threads that wait for disks or processes must not keep the pod from ending


if __name__ == "__main__":
    main()
