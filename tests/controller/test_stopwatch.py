"""What the stopwatch takes for the end of a start or stop, and what it does not."""

from __future__ import annotations

from dataclasses import replace

from controller.memory import Memory
from controller.model import SC, Observed, Root, Timeline
from controller.stopwatch import Stopwatch
from controller.timeline import Open, Stage, Turn
from tests.controller.test_status import OFF, parent, pod
from tests.controller.world import APP, World

T0 = 1_767_225_600_000_000
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
STARTING = {"patchSeen": T0, "podCreated": T0 + 10}
ROOT = Root("u1", timeline=Timeline("p1", sandbox=T0 + 20))
SEEN = Observed(parent=parent(), consumer=pod(), root=ROOT, roots=(ROOT,))


def watch() -> Stopwatch:
    return Stopwatch(lambda: T0 + 100)


def memory(turn: Turn = Turn.START) -> Memory:
    return Memory("u1", going=Open(turn, dict(STARTING), pod="p1"))


def test_a_start_ends_with_ready() -> None:
    found = watch().passed(memory(), SEEN, READY)

    assert found is not None
    assert found.stages[1:] == (
        Stage("podCreated", 10),
        Stage("sandboxUp", 10),
        Stage("ready", 80),
    )


def test_running_without_ready_is_no_end() -> None:
    waiting = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}

    assert watch().passed(memory(), SEEN, waiting) is None


def test_the_times_of_another_pod_are_not_this_starts() -> None:
    other = replace(ROOT, timeline=Timeline("p0", sandbox=T0 + 20))

    found = watch().passed(memory(), replace(SEEN, root=other, roots=(other,)), READY)

    assert found is not None
    assert [one.name for one in found.stages] == ["patchSeen", "podCreated", "ready"]


def test_facts_from_before_the_latest_change_end_nothing() -> None:
    open_one = memory()

    assert watch().passed(open_one, replace(SEEN, parent=OFF), READY) is None
    assert open_one.going is not None


async def test_a_replica_that_does_not_lead_takes_no_times() -> None:
    """It would show them when it leads, long after another one had ended the stop."""
    world = World()
    world.create()
    await world.settle()
    world.leading = False
    world.run(False)
    await world.settle()
    world.leading = True
    world.dirty.add(APP)

    await world.settle()

    assert world.kube.objects[SC, APP]["status"]["phase"] == "Stopped"
    assert "lastStop" not in world.status()
