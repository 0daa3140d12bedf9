"""The periodic full LIST.

Fills the store before anything acts, and drops what the watch forgot to say is gone.

Run by `__main__`; `web` asks it whether the watch still hears anything.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from controller import metrics
from controller.errors import ControllerError
from controller.watching import sources

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.doors import KubeDoor
    from controller.store import Store

log = logging.getLogger(__name__)
# With jitter, so that two replicas, and many clusters of one provider, do not ask at the same
# moment.
SHORTEST, LONGEST = 300.0, 600.0
RETRY = 5.0
WATCH_LAG = 3.0
# A watch that lags is normal, one that has missed something twice in a row is deaf.
DEAF_AFTER = 2


class Relist:
    """LISTs every watched kind."""

    def __init__(
        self, kube: KubeDoor, store: Store, namespace: str, monotonic: Callable[[], float]
    ) -> None:
        self._kube, self._store, self._namespace = kube, store, namespace
        self._monotonic = monotonic
        self._done_at: float | None = None
        self._deaf = 0
        self.warm = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                missed = await self.once()
            except ControllerError as error:
                log.warning("full LIST: %s", error)
                await asyncio.sleep(RETRY)
                continue
            if self.warm.is_set():
                metrics.missed(missed)
                self._deaf = self._deaf + 1 if missed else 0
            self._done_at = self._monotonic()
            self.warm.set()
            await asyncio.sleep(random.uniform(SHORTEST, LONGEST))  # noqa: S311 - jitter

    async def once(self) -> int:
        """One pass; how many changes the watch had not told."""
        missed = 0
        for source in sources(self._namespace):
            items, seen_at = await self._kube.list(source.kind, source.namespace, source.selector)
            if self.warm.is_set():
                # What is on its way must not count as missed; a late answer is never taken as new.
                await asyncio.sleep(WATCH_LAG)
            missed += self._store.replace(source.kind, items, seen_at, source.owns)
        return missed

    def healthy(self) -> bool:
        """Whether LISTs come through and the watch tells what they show."""
        if self._done_at is None:
            return True
        late = self._monotonic() - self._done_at > 3 * LONGEST
        return not late and self._deaf < DEAF_AFTER
