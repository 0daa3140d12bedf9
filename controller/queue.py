"""The work queue: a key waits at most once, and one worker at a time works on it.

What fails is retried with back-off. `store` and `agents` add keys; `reconcile` works.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

from controller import errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from controller.model import Key

log = logging.getLogger(__name__)


class Backoff(NamedTuple):
    """First wait and longest wait, in seconds; doubled each time."""

    first: float
    longest: float


# Why was it retried, and when: the most specific class counts.
BACKOFF: dict[type[Exception], Backoff] = {
    errors.InvalidSpec: Backoff(300, 300),
    errors.Rejected: Backoff(60, 300),
    errors.Denied: Backoff(2, 30),
    errors.NameTaken: Backoff(1, 15),
    errors.Busy: Backoff(0.2, 2),
    errors.NotYet: Backoff(0.2, 5),
    errors.NodeFailed: Backoff(1, 60),
    errors.Conflict: Backoff(0.1, 1),
    errors.Absent: Backoff(0.1, 5),
    errors.LeaseLost: Backoff(5, 5),
    errors.ControllerError: Backoff(1, 60),
    # A bug of ours: never a busy loop, never given up.
    Exception: Backoff(1, 60),
}


def delay(error: BaseException, tries: int) -> float:
    """How long to wait before the next try; `tries` counts from 1."""
    backoff = next(BACKOFF[kind] for kind in type(error).__mro__ if kind in BACKOFF)
    return min(backoff.longest, float(backoff.first * 2 ** min(tries - 1, 20)))


class WorkQueue:
    """De-duplicating, with one timer a key: the earliest asked for wins."""

    def __init__(self, work: Callable[[Key], Awaitable[float | None]], workers: int = 32) -> None:
        self._work = work
        self._workers = workers
        self._waiting: dict[Key, float] = {}
        self._busy: dict[Key, float] = {}
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._tries: dict[Key, int] = {}
        self._ready: asyncio.Queue[Key] = asyncio.Queue()

    def add(self, key: Key) -> None:
        """Asks for a look at this key, now."""
        if key in self._busy:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting[key] = asyncio.get_running_loop().time()
            self._ready.put_nowait(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Asks for a look later; an earlier one that is already asked for stays."""
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= at:
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_at(at, self._ring, key)

    def _ring(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._worker())

    async def _worker(self) -> None:
        while True:
            key = await self._ready.get()
            self._waiting.pop(key, None)
            self._busy[key] = asyncio.get_running_loop().time()
            try:
                await self._one(key)
            finally:
                del self._busy[key]
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)

    async def _one(self, key: Key) -> None:
        try:
            again = await self._work(key)
        except Exception as error:
            tries = self._tries[key] = self._tries.get(key, 0) + 1
            log.log(
                logging.WARNING if isinstance(error, errors.ControllerError) else logging.ERROR,
                "%s/%s: %s",
                key.namespace,
                key.name,
                error,
                exc_info=not isinstance(error, errors.ControllerError),
            )
            self.add_after(key, delay(error, tries))
        else:
            self._tries.pop(key, None)
            if again is not None:
                self.add_after(key, again)

    def depth(self) -> int:
        """How many keys wait for a worker."""
        return len(self._waiting)

    def oldest(self) -> float:
        """For how many seconds the longest waiting or longest worked-on key has been so."""
        since = [*self._waiting.values(), *self._busy.values()]
        return asyncio.get_running_loop().time() - min(since) if since else 0.0
