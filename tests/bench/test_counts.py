"""How much a run measures, and that it ends in time."""

from __future__ import annotations

import pytest

from deploy.bench.counts import DEFAULT, MINUTES, Budget, counts, minutes


class FakeClock:
    """Stands still until somebody works."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_default_has_enough_warm_starts_for_a_p99() -> None:
    found = counts(DEFAULT)

    assert (found.cold, found.warm, found.freeze, found.create) == (40, 300, 100, 10)


def test_a_small_count_is_small_everywhere() -> None:
    found = counts(1)

    assert max(found.cold, found.create, found.rounds, found.sleeps) == 1
    assert found.warm < 10


@pytest.mark.parametrize("count", [0, -1, 10_001])
def test_a_senseless_count_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"count {count}"):
        counts(count)


def test_more_cycles_get_more_time() -> None:
    assert minutes(1) == minutes(DEFAULT) == MINUTES < 15
    assert minutes(100) == pytest.approx(2.5 * MINUTES)


def test_a_slow_part_ends_at_its_share_and_says_so() -> None:
    clock = FakeClock()
    budget = Budget(100, clock)
    done = 0
    for _ in budget.cycles("cold", 40, until=0.25):
        clock.now += 10
        done += 1

    assert done == 3
    assert budget.notes == ["cold: 3 of 40 cycles, for lack of time"]


def test_a_part_in_time_does_all_and_says_nothing() -> None:
    budget = Budget(100, FakeClock())

    assert len(list(budget.cycles("cold", 40, until=0.25))) == 40
    assert not budget.notes


def test_a_part_that_begins_too_late_still_measures_once() -> None:
    clock = FakeClock()
    budget = Budget(100, clock)
    clock.now += 90

    assert len(list(budget.cycles("freeze", 100, until=0.5))) == 1
