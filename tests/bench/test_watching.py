"""Changes are remembered with the time of their arrival, and awaited without a look."""

from __future__ import annotations

import json
import queue
import time
from typing import TYPE_CHECKING, Any

import pytest

from deploy.bench.watching import Change, NotSeen, Watching

if TYPE_CHECKING:
    from collections.abc import Iterator


class FakeStream:
    """A watch that says what the test puts in."""

    def __init__(self) -> None:
        self._lines: queue.Queue[bytes | None] = queue.Queue()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._lines.get, None)

    def send(self, kind: str, name: str, **fields: Any) -> None:
        event = {"type": kind, "object": {"metadata": {"name": name}, **fields}}
        self._lines.put(json.dumps(event).encode())

    def end(self) -> None:
        self._lines.put(None)


def stopped(change: Change) -> bool:
    return bool(change.body.get("phase") == "Stopped")


def test_a_change_is_seen_at_the_time_of_its_arrival() -> None:
    stream = FakeStream()
    watching = Watching(iter(stream))
    begin = time.time()
    stream.send("MODIFIED", "one", phase="Running")
    stream.send("MODIFIED", "other", phase="Stopped")
    stream.send("MODIFIED", "one", phase="Stopped")

    found = watching.first("one", stopped, "one Stopped", since=0, deadline=5)

    assert begin <= found.at <= time.time()
    assert watching.latest("one")["phase"] == "Stopped"


def test_what_was_before_the_mark_does_not_count() -> None:
    stream = FakeStream()
    watching = Watching(iter(stream))
    stream.send("MODIFIED", "one", phase="Stopped", cycle=1)
    watching.first("one", stopped, "one Stopped", since=0, deadline=5)
    mark = watching.mark("one")
    stream.send("MODIFIED", "one", phase="Running")
    stream.send("MODIFIED", "one", phase="Stopped", cycle=2)

    assert watching.first("one", stopped, "again", since=mark, deadline=5).body["cycle"] == 2


def test_what_does_not_come_about_is_an_error_that_names_it() -> None:
    watching = Watching(iter(FakeStream()))

    with pytest.raises(NotSeen, match=r"not within 0.05 s: one Stopped"):
        watching.first("one", stopped, "one Stopped", since=0, deadline=0.05)


def test_a_watch_that_ended_does_not_let_anybody_wait() -> None:
    stream = FakeStream()
    watching = Watching(iter(stream))
    stream.end()

    with pytest.raises(NotSeen, match="one Stopped: the watch ended"):
        watching.first("one", stopped, "one Stopped", since=0, deadline=60)


def test_an_error_of_the_server_is_told() -> None:
    stream = FakeStream()
    watching = Watching(iter(stream))
    stream.send("ERROR", "none", message="too old resource version")

    with pytest.raises(NotSeen, match="too old resource version"):
        watching.first("one", stopped, "one Stopped", since=0, deadline=60)
