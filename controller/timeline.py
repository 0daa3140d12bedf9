"""The stages of a start or a stop: times in, durations that add up to the total out; pure.

`stopwatch` collects the marks and asks for the breakdown, `memory` holds what is still open.

All times are microseconds since the epoch by the wall clock, for some of them come from the node.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from controller.choices import StopMode
from controller.model import Role
from controller.steps import (
    CreatePod,
    DeletePod,
    EnsureRoot,
    MirrorInstance,
    StartProcess,
    StopProcess,
    SyncRoot,
    TellPod,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.model import Body, Observed, Timeline
    from controller.steps import Step

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BEGIN = "patchSeen"


class Turn(StrEnum):
    """Which way `running` was changed."""

    START = "start"
    STOP = "stop"


# In the order in which they usually happen, which decides between equal times; the last one is the
# end. Marks with other names do not count. The instance is written after the end, but for the first
# start and what takes long.
COLD_START = (
    BEGIN,
    "instanceWritten",
    "rootEnsured",
    "podCreated",
    "scheduled",
    "sandboxUp",
    "containerCreated",
    "rootSwapped",
    "rootVerified",
    "commandRunning",
    "ready",
)
COLD_STOP = (
    BEGIN,
    "instanceWritten",
    "podDeleted",
    "commandStopped",
    "podGone",
    "synced",
    "stopped",
)
WARM_START = (BEGIN, "commandRunning", "podTold", "ready")
WARM_STOP = (BEGIN, "commandStopped", "synced", "podTold", "stopped")


class Stage(NamedTuple):
    """What was reached, and how long after the stage before it."""

    name: str
    microseconds: int


@dataclass(slots=True)
class Open:
    """A start or stop that goes on."""

    turn: Turn
    marks: dict[str, int]
    pod: str = ""
    held: bool = False
    mode: StopMode = StopMode.COLD


@dataclass(frozen=True, slots=True)
class Passed:
    """A start or stop that is over."""

    turn: Turn
    mode: StopMode
    reason: str
    began: int
    stages: tuple[Stage, ...] = field(default=())

    @property
    def microseconds(self) -> int:
        """The total, which is what the stages add up to."""
        return sum(stage.microseconds for stage in self.stages)


def mode_after(step: Step, before: StopMode) -> StopMode:
    """What kind of start or stop it is by now: a pod that goes or comes makes it a cold one."""
    match step:
        case StartProcess(thaw=frozen) | StopProcess(freeze=frozen):
            return StopMode.FREEZE if frozen else StopMode.WARM
        case CreatePod(role=Role.CONSUMER) | DeletePod(role=Role.CONSUMER):
            return StopMode.COLD
        case _:
            return before


def why_cold(going: Open, seen: Observed, known: str) -> str:
    """Why it was not what the user asks for; empty when it was. `known`: why the pod went."""
    parent = seen.parent
    if parent is None or parent.stop_mode is StopMode.COLD or going.mode is not StopMode.COLD:
        return ""
    first = going.turn is Turn.START and not parent.status.get("lastStart")
    return known or ("FirstStart" if first else "PodLost")


def order_of(turn: Turn, mode: StopMode) -> tuple[str, ...]:
    """The stages that such a start or stop can have."""
    if mode is StopMode.COLD:
        return COLD_START if turn is Turn.START else COLD_STOP
    return WARM_START if turn is Turn.START else WARM_STOP


def breakdown(marks: Mapping[str, int], order: tuple[str, ...]) -> tuple[Stage, ...]:
    """The known marks by time, as durations; empty when the first or the last is missing.

    The node's clock may differ from ours, so a mark outside of begin and end counts as at its edge.
    """
    begin, end = marks.get(order[0], 0), marks.get(order[-1], 0)
    if not begin or not end:
        return ()
    end = max(begin, end)
    times = {name: min(max(marks[name], begin), end) for name in order if marks.get(name)}
    stages, before = [], begin
    # The sort keeps the usual order among equals, so the begin stays first and the end last.
    for name, at in sorted(times.items(), key=lambda item: item[1]):
        stages.append(Stage(name, at - before))
        before = at
    return tuple(stages)


def turn_of(before: Body | None, after: Body) -> Turn | None:
    """Whether this change of a StoppableContainer asks for a start or a stop."""
    if "deletionTimestamp" in after["metadata"]:
        return None
    if before is None or before["metadata"].get("uid") != after["metadata"].get("uid"):
        return Turn.START if _runs(after) else None
    if _runs(before) == _runs(after):
        return None
    return Turn.START if _runs(after) else Turn.STOP


def _runs(body: Body) -> bool:
    return (body.get("spec") or {}).get("running") is True


def mark_of(step: Step) -> str:
    """The stage that is reached when a step is done, empty when it is none."""
    match step:
        case MirrorInstance():
            return "instanceWritten"
        case EnsureRoot():
            return "rootEnsured"
        case SyncRoot():
            return "synced"
        case DeletePod(role=Role.CONSUMER):
            return "podDeleted"
        case TellPod() | StopProcess():
            return "podTold"
        case _:
            return ""


def node_marks(turn: Turn, said: Timeline) -> dict[str, int]:
    """What the agent adds; nothing that it does not know."""
    if turn is Turn.START:
        found = {
            "sandboxUp": said.sandbox,
            "containerCreated": said.created,
            "rootSwapped": said.swapped,
            "rootVerified": said.verified,
            "commandRunning": said.running,
        }
    else:
        # A sync from before the end says nothing about what was written last.
        synced = said.synced if said.synced >= said.stopped > 0 else 0
        found = {"commandStopped": said.stopped, "synced": synced}
    return {name: at for name, at in found.items() if at > 0}


def to_status(passed: Passed) -> Body:
    """As `status.lastStart` and `status.lastStop` show it."""
    began = EPOCH + timedelta(microseconds=passed.began)
    return {
        "mode": passed.mode.value,
        **({"reason": passed.reason} if passed.reason else {}),
        "time": began.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "microseconds": passed.microseconds,
        "stages": [{"name": one.name, "microseconds": one.microseconds} for one in passed.stages],
    }
