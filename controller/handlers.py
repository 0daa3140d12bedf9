"""The only kopf: its watch streams put objects into the `store`, which wakes the `queue`.

Nothing is decided here.

Two registries, because kopf filters a kind on the server by one selector only: our pods in all
namespaces, and the agents' pods in the product's namespace.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import kopf

from controller import names
from controller.model import AGENT_POD, NODE, POD, SC, SCI, Kind

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from controller.kube import Connection
    from controller.store import Store

# A pod's token is renewed by kubelet every hour; kopf asks again when this much is over.
LOGIN_LIFE = timedelta(minutes=10)
MANAGED_SELECTOR = names.MANAGED_BY_LABEL
AGENT_SELECTOR = f"{names.AGENT_POD_LABEL}={names.AGENT_POD}"


async def watch(
    store: Store,
    connect: Callable[[], Awaitable[Connection]],
    stop: asyncio.Event,
    *,
    namespace: str = "",
) -> None:
    """Feeds the store until told to stop.

    A namespace's agent pods, or without one everything else.
    """
    registry = kopf.OperatorRegistry()
    _connect_with(registry, connect)
    if namespace:
        _feed(registry, store, AGENT_POD)
    else:
        for kind in (SC, SCI, POD, NODE):
            _feed(registry, store, kind)
    settings = _settings(AGENT_SELECTOR if namespace else MANAGED_SELECTOR)
    where: dict[str, Any] = {"namespaces": [namespace]} if namespace else {"clusterwide": True}
    await kopf.operator(
        registry=registry, settings=settings, stop_flag=stop, standalone=True, **where
    )


class _Undiffed(kopf.DiffBaseStorage):
    """Nothing is compared with what it was, so kopf need not copy each object for that.

    The copy was a third of what kopf does with an event, and a warm start waits for it.
    """

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None


def _settings(pod_selector: str) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.persistence.consistency_timeout = 0
    settings.persistence.diffbase_storage = _Undiffed()
    settings.watching.server_timeout = 300
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 500
    settings.watching.label_selectors["pods"] = pod_selector
    settings.networking.request_timeout = 15
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = (0.1, 0.3, 1, 2, 5)
    settings.queueing.error_delays = (0.5, 1, 2, 5, 10, 30)
    settings.queueing.idle_timeout = 2
    settings.process.ultimate_exiting_timeout = 25
    return settings


def _connect_with(
    registry: kopf.OperatorRegistry, connect: Callable[[], Awaitable[Connection]]
) -> None:
    @kopf.on.login(registry=registry)
    async def login(**_: object) -> kopf.ConnectionInfo:
        found = await connect()
        return kopf.ConnectionInfo(
            server=found.server,
            ca_path=found.ca_path,
            certificate_path=found.certificate_path,
            private_key_path=found.private_key_path,
            scheme="Bearer" if found.token else None,
            token=found.token,
            expiration=datetime.now(UTC) + LOGIN_LIFE,
        )


def _feed(registry: kopf.OperatorRegistry, store: Store, kind: Kind) -> None:
    group, _, version = kind.api_version.rpartition("/")

    @kopf.on.event(group, version, kind.plural, registry=registry, id=f"feed-{kind.plural}")
    async def feed(*, event: kopf.RawEvent, **_: Any) -> None:
        body: Any = event["object"]
        if event["type"] == "DELETED":
            store.drop(kind, dict(body))
        else:
            store.put(kind, dict(body))
