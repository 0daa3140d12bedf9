"""Takes the times of a start or stop, and tells the metrics and the log of it when it is over.

`reconcile` and the `store` say what happens, `report` asks whether the end is reached; `timeline`
makes the stages.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from controller import metrics, names, timeline
from controller.choices import StopMode
from controller.model import Role
from controller.timeline import Open, Passed, Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.memory import Memory
    from controller.model import Body, Observed, Parent
    from controller.steps import Step

log = logging.getLogger(__name__)


class Stopwatch:
    """Has the wall clock, in microseconds since the epoch; what is open lies in the memories."""

    def __init__(self, wall: Callable[[], int]) -> None:
        self._wall = wall

    def begin(self, turn: Turn) -> Open:
        """Time zero."""
        return Open(turn, {timeline.BEGIN: self._wall()})

    def pod(self, going: Open, before: Body | None, after: Body | None) -> None:
        """A pod of the container's name came, changed or went, by the watch or by our own write."""
        if after is None:
            if before is not None and before["metadata"]["uid"] == going.pod:
                going.marks["podGone"] = self._wall()
            return
        metadata = after["metadata"]
        if (metadata.get("labels") or {}).get(names.ROLE_LABEL) != Role.CONSUMER:
            return
        if before is None or before["metadata"]["uid"] != metadata["uid"]:
            if going.turn is Turn.START:
                going.pod = metadata["uid"]
                going.marks["podCreated"] = self._wall()
                going.marks.pop("scheduled", None)
        elif metadata["uid"] == going.pod and "scheduled" not in going.marks and _placed(after):
            going.marks["scheduled"] = self._wall()

    def done(self, going: Open, step: Step) -> None:
        """A step has succeeded."""
        going.mode = timeline.mode_after(step, going.mode)
        mark = timeline.mark_of(step)
        if mark:
            going.marks[mark] = self._wall()

    def look(self, going: Open, seen: Observed) -> None:
        """Takes from the facts what no event tells."""
        pod = seen.consumer
        if pod and pod.ours and not going.pod and (going.turn is Turn.STOP or not pod.deleting):
            going.pod = pod.uid
        if going.turn is Turn.START:
            return
        if any(root.held for root in seen.roots):
            going.held = True
        elif going.held:
            going.marks.setdefault("commandStopped", self._wall())

    def passed(self, memory: Memory, seen: Observed, wanted: Body) -> Passed | None:
        """What is over with the status that is about to be written; never made up."""
        going, parent = memory.going, seen.parent
        if going is None or parent is None or parent.running != (going.turn is Turn.START):
            return None
        if not _is_end(going.turn, wanted):
            return None
        mode, reason = going.mode, timeline.why_cold(going, seen, memory.cold_reason)
        if not _is_whole(going, mode, seen):
            memory.going = None
            return None
        order = timeline.order_of(going.turn, mode)
        said = [root.timeline for root in seen.roots if root.timeline.pod == going.pod != ""]
        marks = dict(going.marks)
        for one in said:
            marks |= timeline.node_marks(going.turn, one)
        marks[order[-1]] = self._wall()
        stages = timeline.breakdown(marks, order)
        return Passed(going.turn, mode, reason, marks[timeline.BEGIN], stages)

    def tell(self, parent: Parent, passed: Passed) -> None:
        """Once, when the status is written."""
        metrics.passed(passed.turn, passed.mode, passed.stages)
        fields = {
            "namespace": parent.namespace,
            "name": parent.name,
            "uid": parent.uid,
            "transition": passed.turn.value,
            "mode": passed.mode.value,
            "microseconds": passed.microseconds,
            "stages": dict(passed.stages),
        }
        what = f"{passed.mode} {passed.turn}"
        seconds = passed.microseconds / 1e6
        log.info(
            "%s/%s: %s took %.3f s",
            parent.namespace,
            parent.name,
            what,
            seconds,
            extra={"fields": fields},
        )


def _placed(pod: Body) -> bool:
    found = (pod.get("status") or {}).get("conditions") or []
    return any(one.get("type") == "PodScheduled" and one.get("status") == "True" for one in found)


def _is_end(turn: Turn, wanted: Body) -> bool:
    if turn is Turn.STOP:
        return bool(wanted["phase"] == "Stopped")
    ready = next(one for one in wanted["conditions"] if one["type"] == "Ready")
    return bool(wanted["phase"] == "Running" and ready["status"] == "True")


def _is_whole(going: Open, mode: StopMode, seen: Observed) -> bool:
    """A cold start has made the pod that is Ready now.

    It has not when it cut a stop before that had done anything.
    """
    if going.turn is Turn.STOP or mode is not StopMode.COLD:
        return True
    pod = seen.consumer
    return "podCreated" in going.marks and pod is not None and pod.uid == going.pod
