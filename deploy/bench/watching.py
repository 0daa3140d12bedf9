"""Remembers when each change of an object arrived here; used by `cycles` and `crowd`.

One stream a kind instead of looks: a look every 20 ms would be coarser than what is measured.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class NotSeen(Exception):
    """Something did not come about within its deadline."""


@dataclass(frozen=True, slots=True)
class Change:
    """One event of a watch."""

    at: float
    kind: str
    body: dict[str, Any]


class Watching:
    """All changes of the objects of one kind, by name."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._changes: dict[str, list[Change]] = {}
        self._news = threading.Condition()
        self._end: str | None = None
        threading.Thread(target=self._follow, args=(lines,), daemon=True).start()

    def _follow(self, lines: Iterator[bytes]) -> None:
        end = "the watch ended"
        try:
            for line in lines:
                # Before parsing: the time at which the client could have known.
                at = time.time()
                event = json.loads(line)
                if event["type"] == "ERROR":
                    end = f"the watch failed: {event['object'].get('message')}"
                    break
                name = event["object"]["metadata"]["name"]
                with self._news:
                    change = Change(at, event["type"], event["object"])
                    self._changes.setdefault(name, []).append(change)
                    self._news.notify_all()
        except Exception as error:  # noqa: BLE001  whatever ended it, the waiting ones must hear of it
            end = f"the watch failed: {error}"
        with self._news:
            self._end = end
            self._news.notify_all()

    def mark(self, name: str) -> int:
        """What has been seen by now; take it before the request that changes something."""
        with self._news:
            return len(self._changes.get(name, ()))

    def latest(self, name: str) -> dict[str, Any]:
        """The object as last seen."""
        with self._news:
            changes = self._changes.get(name)
            return changes[-1].body if changes else {}

    def first(
        self, name: str, seen: Callable[[Change], bool], what: str, *, since: int, deadline: float
    ) -> Change:
        """The first change after the mark that is so."""
        end = time.monotonic() + deadline
        position = since
        with self._news:
            while True:
                changes = self._changes.get(name, [])
                for change in changes[position:]:
                    if seen(change):
                        return change
                position = len(changes)
                left = end - time.monotonic()
                if self._end:
                    raise NotSeen(f"{what}: {self._end}")
                if left <= 0 or not self._news.wait(left):
                    raise NotSeen(f"not within {deadline:g} s: {what}")
