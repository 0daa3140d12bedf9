"""Events for people.

Which change of status is worth one (pure), and the log that posts each at most now and then.

`report` asks both after it has written a status.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from controller import manifests
from controller.errors import ControllerError
from controller.model import EVENT, Key
from controller.status import ERRORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.doors import KubeDoor

# Repeats inside this time are only counted: a container that stops and starts all day writes no
# Event each time.
QUIET_SECONDS = 600.0
MAX_SERIES = 4096
WORTH_A_WARNING = ERRORS | {
    "NodeLost",
    "NoReadyNode",
    "Unschedulable",
    "RootBusy",
    "RequestsRefused",
}


class Announcement(NamedTuple):
    """One Event."""

    kind: str
    reason: str
    note: str


def announcements(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Announcement]:
    """What a person wants to hear about this change of status."""
    before, after = _by_type(old), _by_type(new)
    found = []
    if new["phase"] != old.get("phase") and new["phase"] == "Running":
        found.append(Announcement("Normal", "Started", f"running on {new['node']}"))
    if new["phase"] != old.get("phase") and new["phase"] == "Stopped":
        found.append(Announcement("Normal", "Stopped", f"stopped; the root stays on {new['node']}"))
    for name, condition in after.items():
        was = before.get(name, {})
        same = was.get("reason") == condition["reason"]
        if same or name == "Ready":
            continue
        told = name == "UpdatePending" and condition["status"] == "True"
        if told or condition["reason"] == "Completed":
            found.append(Announcement("Normal", condition["reason"], condition["message"]))
        elif name == "RootReady" and condition["status"] == "True":
            found.append(Announcement("Normal", "RootReady", f"mounted on {new['node']}"))
        elif condition["status"] == "False" and condition["reason"] in WORTH_A_WARNING:
            found.append(Announcement("Warning", condition["reason"], condition["message"]))
    return found


def _by_type(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(item.get("type")): item for item in status.get("conditions") or []}


@dataclass(slots=True)
class Series:
    """One Event object and how often it happened."""

    name: str
    count: int
    written: float


class EventLog:
    """Posts an Event the first time, counts repeats, writes the count at most every ten minutes."""

    def __init__(self, kube: KubeDoor) -> None:
        self._kube = kube
        self._series: OrderedDict[tuple[str, str, str], Series] = OrderedDict()

    async def post(self, key: Key, uid: str, said: Announcement, *, at: str, now: float) -> None:
        """An Event that cannot be written is not worth failing for."""
        series = self._series.get((uid, said.reason, said.note))
        try:
            if series is None:
                await self._first(key, uid, said, at=at, now=now)
                return
            series.count += 1
            if now - series.written >= QUIET_SECONDS:
                series.written = now
                patch = {"count": series.count, "lastTimestamp": at}
                await self._kube.patch(EVENT, Key(key.namespace, series.name), patch)
        except ControllerError:
            self._series.pop((uid, said.reason, said.note), None)

    async def _first(self, key: Key, uid: str, said: Announcement, *, at: str, now: float) -> None:
        text = "/".join((uid, *said, at))
        suffix = hashlib.sha256(text.encode()).hexdigest()[:16]
        body = manifests.event(
            key, uid, suffix, kind=said.kind, reason=said.reason, note=said.note, at=at
        )
        self._series[uid, said.reason, said.note] = Series(body["metadata"]["name"], 1, now)
        while len(self._series) > MAX_SERIES:
            self._series.popitem(last=False)
        await self._kube.create(EVENT, body)
