"""Marks to stages: whatever the clocks say, nothing is negative and the parts are the whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.choices import StopMode
from controller.model import Timeline
from controller.timeline import (
    COLD_START,
    COLD_STOP,
    WARM_START,
    WARM_STOP,
    Passed,
    Stage,
    Turn,
    breakdown,
    node_marks,
    to_status,
    turn_of,
)

T0 = 1_767_225_600_000_000
ORDERS = [COLD_START, COLD_STOP, WARM_START, WARM_STOP]


def body(*, running: bool, uid: str = "u1", **metadata: str) -> dict[str, object]:
    return {"metadata": {"uid": uid, **metadata}, "spec": {"running": running}}


@given(st.sampled_from(ORDERS), st.data())
def test_the_stages_add_up_to_the_total(order: tuple[str, ...], data: st.DataObject) -> None:
    times = st.integers(T0 - 10_000, T0 + 10_000)
    marks = data.draw(st.dictionaries(st.sampled_from([*order, "nonsense"]), times))
    marks |= {order[0]: data.draw(times), order[-1]: data.draw(times)}

    stages = breakdown(marks, order)

    assert stages[0] == (order[0], 0)
    assert stages[-1].name == order[-1]
    assert all(one.microseconds >= 0 for one in stages)
    total = sum(one.microseconds for one in stages)
    assert total == max(0, marks[order[-1]] - marks[order[0]])
    assert {one.name for one in stages} == marks.keys() & set(order)


def test_stages_come_in_the_order_of_their_times() -> None:
    marks = {"ready": T0 + 500, "scheduled": T0 + 200, "podCreated": T0 + 300, "patchSeen": T0}

    assert breakdown(marks, COLD_START) == (
        Stage("patchSeen", 0),
        Stage("scheduled", 200),
        Stage("podCreated", 100),
        Stage("ready", 200),
    )


def test_a_node_whose_clock_is_wrong_cannot_lengthen_a_start() -> None:
    marks = {
        "patchSeen": T0, "sandboxUp": T0 - 9_000_000, "rootSwapped": T0 + 9_000_000,
        "podCreated": T0 + 10, "ready": T0 + 100,
    }  # fmt: skip

    assert breakdown(marks, COLD_START) == (
        Stage("patchSeen", 0),
        Stage("sandboxUp", 0),
        Stage("podCreated", 10),
        Stage("rootSwapped", 90),
        Stage("ready", 0),
    )


def test_without_its_begin_or_its_end_there_is_no_breakdown() -> None:
    assert breakdown({"podCreated": T0, "ready": T0 + 1}, COLD_START) == ()
    assert breakdown({"patchSeen": T0, "podCreated": T0 + 1}, COLD_START) == ()


def test_a_change_of_running_is_a_start_or_a_stop() -> None:
    on, off = body(running=True), body(running=False)

    assert turn_of(off, on) is Turn.START
    assert turn_of(on, off) is Turn.STOP
    assert turn_of(on, on) is None
    assert turn_of(off, off) is None


def test_a_new_object_is_a_start_when_it_shall_run_and_nothing_otherwise() -> None:
    on, off = body(running=True), body(running=False)

    assert turn_of(None, on) is Turn.START
    assert turn_of(None, off) is None
    assert turn_of(body(running=True, uid="u0"), on) is Turn.START
    assert turn_of(body(running=True, uid="u0"), off) is None


def test_what_is_being_deleted_neither_starts_nor_stops() -> None:
    going = body(running=False, deletionTimestamp="2026-01-01T00:00:00Z")

    assert turn_of(body(running=True), going) is None


def test_a_sync_from_before_the_end_of_the_command_is_not_the_stops() -> None:
    early = Timeline("p1", synced=T0, stopped=T0 + 5)

    assert node_marks(Turn.STOP, early) == {"commandStopped": T0 + 5}
    later = Timeline("p1", synced=T0 + 7, stopped=T0 + 5)
    assert node_marks(Turn.STOP, later) == {"commandStopped": T0 + 5, "synced": T0 + 7}


def test_status_shows_begin_total_and_stages() -> None:
    stages = (Stage("patchSeen", 0), Stage("podCreated", 7), Stage("ready", 5))

    shown = to_status(Passed(Turn.START, StopMode.COLD, "", T0 + 12, stages))

    assert shown == {
        "mode": "Cold",
        "time": "2026-01-01T00:00:00.000012Z",
        "microseconds": 12,
        "stages": [
            {"name": "patchSeen", "microseconds": 0},
            {"name": "podCreated", "microseconds": 7},
            {"name": "ready", "microseconds": 5},
        ],
    }
