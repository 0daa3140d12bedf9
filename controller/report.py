"""The last of the four.

Writes status on both kinds where it differs, and Events for what people want to hear.

Called by `reconcile` after the plan's steps; `status` says what to write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller import names, timeline
from controller.announce import announcements
from controller.errors import Absent, Conflict
from controller.model import SC, SCI, Key
from controller.status import differs, is_passing, status
from controller.timeline import Turn

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from controller.announce import EventLog
    from controller.doors import KubeDoor
    from controller.memory import Memory
    from controller.model import Body, Kind, Observed, Parent
    from controller.stopwatch import Stopwatch
    from controller.store import Store
    from controller.timeline import Passed

# A stop or start that is over by then costs one status write an object instead of two.
SETTLE_SECONDS = 2.0


class Report:
    """Status writer."""

    def __init__(
        self,
        kube: KubeDoor,
        store: Store,
        events: EventLog,
        clock: Callable[[], datetime],
        stopwatch: Stopwatch,
    ) -> None:
        self._kube, self._store, self._events, self._clock = kube, store, events, clock
        self._stopwatch = stopwatch

    async def report(self, seen: Observed, memory: Memory, now: float) -> float | None:
        """Writes the parent's, for it is what people wait for.

        Answers after how many seconds it wants to look again.
        """
        parent = seen.parent
        if parent is None or (parent.deleting and not parent.finalized):
            return None
        at = self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        wanted = status(seen, parent, at)
        passed = self._stopwatch.passed(memory, seen, wanted)
        if passed:
            wanted[f"last{passed.turn.capitalize()}"] = timeline.to_status(passed)
        if not differs(wanted, parent.status):
            memory.passing_since = None
            return None
        if wait := self._settle(wanted, parent, memory, now):
            return wait
        await self._write_parent(memory, parent, wanted, passed)
        await self._announce(parent, wanted, at=at, now=now)
        memory.passing_since = None
        return None

    async def mirror(self, seen: Observed) -> None:
        """Writes the instance's, when the parent's is what it should be."""
        parent, instance = seen.parent, seen.instance
        if parent is None or instance is None or (parent.deleting and not parent.finalized):
            return
        at = self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        wanted = status(seen, parent, at)
        mirrored = self._instance_status(seen, wanted)
        if mirrored is None or differs(wanted, parent.status):
            return
        if differs(mirrored, instance.status):
            await self._write(SCI, parent, instance.uid, mirrored)

    async def _write_parent(
        self, memory: Memory, parent: Parent, wanted: Body, passed: Passed | None
    ) -> None:
        """The status that a start or stop may end with, and the end of its times."""
        going = memory.going
        written = await self._write(SC, parent, parent.uid, wanted)
        if written and passed:
            self._stopwatch.tell(parent, passed)
            if passed.turn is Turn.START:
                memory.cold_reason = ""
            # Another one may have begun while this was written.
            if memory.going is going:
                memory.going = None

    async def retract(self, seen: Observed, now: float) -> bool:
        """Takes back a phase that is asked for and not so, before anything else is done."""
        parent = seen.parent
        if parent is None or parent.deleting or parent.status.get("phase") != _asked_for(parent):
            return False
        at = self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        wanted = status(seen, parent, at)
        if wanted["phase"] == parent.status["phase"]:
            return False
        # The parent alone, for it is what people wait for; the instance's follows.
        await self._write(SC, parent, parent.uid, wanted)
        await self._announce(parent, wanted, at=at, now=now)
        return True

    def _settle(self, wanted: Body, parent: Parent, memory: Memory, now: float) -> float:
        """How long a passing state has still to last before it is worth a write."""
        if not is_passing(wanted) or not parent.status.get("phase"):
            return 0.0
        if parent.status.get("phase") == _asked_for(parent):
            # It would say that what is asked for is so already; `kubectl wait` would believe it.
            return 0.0
        if memory.passing_since is None:
            memory.passing_since = now
        return max(0.0, memory.passing_since + SETTLE_SECONDS - now)

    def _instance_status(self, seen: Observed, wanted: Body) -> Body | None:
        """The same, with the instance's own generation."""
        instance = seen.instance
        if instance is None or not instance.ours or instance.deleting:
            return None
        conditions = [
            {**item, "observedGeneration": instance.generation} for item in wanted["conditions"]
        ]
        return {**wanted, "observedGeneration": instance.generation, "conditions": conditions}

    async def _write(self, kind: Kind, parent: Parent, uid: str, wanted: Body) -> bool:
        """Whether there was something to write it on."""
        body = {
            "apiVersion": names.API_VERSION,
            "kind": kind.kind,
            "metadata": {"name": parent.name, "namespace": parent.namespace, "uid": uid},
            "status": wanted,
        }
        try:
            self._store.put(kind, await self._kube.apply(kind, body, subresource="status"))
        except (Absent, Conflict):
            # It is gone, or another one by now; its event brings the next look.
            return False
        return True

    async def _announce(self, parent: Parent, wanted: Body, *, at: str, now: float) -> None:
        for one in announcements(parent.status, wanted):
            key = Key(parent.namespace, parent.name)
            await self._events.post(key, parent.uid, one, at=at, now=now)


def _asked_for(parent: Parent) -> str:
    """The phase that the user wants."""
    return "Running" if parent.running else "Stopped"
