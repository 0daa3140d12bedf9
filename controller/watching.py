"""The controller's ears: one LIST and WATCH a source, from which objects go into the `store`.

Nothing is decided here. `relist` asks for the same sources from time to time, and so knows whether
a watch has become deaf.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

from controller import names
from controller.errors import ControllerError, NotYet
from controller.model import AGENT_POD, NODE, POD, SC, SCI
from controller.queue import delay
from controller.store import revision

if TYPE_CHECKING:
    from controller.doors import WatchDoor
    from controller.model import Body, Kind
    from controller.store import Store

log = logging.getLogger(__name__)
# A stream that ends sooner than this has told nothing: the next try waits.
SHORTEST_STREAM_SECONDS = 1.0


class Source(NamedTuple):
    """What is listed and watched: all objects of a kind that a selector lets through."""

    kind: Kind
    namespace: str = ""
    selector: str = ""

    def owns(self, body: Body) -> bool:
        """Whether a LIST of it could have named this object; the store has others of the kind."""
        if self.kind is not POD:
            return True
        return names.MANAGED_BY_LABEL in (body["metadata"].get("labels") or {})


def sources(namespace: str) -> tuple[Source, ...]:
    """Everything that the controller hears, the agents' pods in its own namespace alone.

    Whatever an object is judged by comes before the object.
    """
    return (
        Source(NODE),
        Source(AGENT_POD, namespace, f"{names.AGENT_POD_LABEL}={names.AGENT_POD}"),
        Source(POD, selector=names.MANAGED_BY_LABEL),
        Source(SCI),
        Source(SC),
    )


async def watch(kube: WatchDoor, store: Store, source: Source) -> None:
    """Feeds the store from one source until cancelled, whatever the API server does meanwhile."""
    loop = asyncio.get_running_loop()
    since, tries = 0, 0
    while True:
        began = loop.time()
        try:
            since = since or await _list(kube, store, source)
            since = await _follow(kube, store, source, since)
            if loop.time() - began < SHORTEST_STREAM_SECONDS:
                raise NotYet(f"the watch of {source.kind.plural} ended at once")
        except ControllerError as error:
            # 410 is the usual one: the server no longer knows what has happened since.
            tries = tries + 1 if loop.time() - began < SHORTEST_STREAM_SECONDS else 1
            log.warning("watch of %s: %s", source.kind.plural, error)
            # Only a LIST tells for certain what is.
            since = 0
            await asyncio.sleep(delay(error, tries))
        else:
            tries = 0


async def _list(kube: WatchDoor, store: Store, source: Source) -> int:
    items, seen_at = await kube.list(source.kind, source.namespace, source.selector)
    store.replace(source.kind, items, seen_at, source.owns)
    return seen_at


async def _follow(kube: WatchDoor, store: Store, source: Source, since: int) -> int:
    """Until the stream ends, as each does after some minutes; up to which revision all is known."""
    kind = source.kind
    async for change, body in kube.watch(kind, source.namespace, source.selector, since):
        if change == "DELETED":
            store.drop(kind, body)
        elif change != "BOOKMARK":
            store.put(kind, body)
        since = max(since, revision(body))
    return since
