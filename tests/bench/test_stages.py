"""The stages of status, added up over the starts of a run."""

from __future__ import annotations

from typing import Any

from deploy.bench.stages import StageSums


def start(mode: str, time: str, **stages: int) -> dict[str, Any]:
    listed = [{"name": name, "microseconds": value} for name, value in stages.items()]
    total = sum(stages.values())
    return {"lastStart": {"mode": mode, "time": time, "microseconds": total, "stages": listed}}


def test_the_means_of_the_stages_add_up_to_the_mean_of_the_whole() -> None:
    sums = StageSums()
    sums.add("uid", start("Cold", "t1", scheduled=20, sandbox=200))
    sums.add("uid", start("Cold", "t2", scheduled=40, sandbox=100, retried=60))

    (found,) = sums.means()

    assert (found.mode, found.what, found.count) == ("cold", "start", 2)
    assert found.means == (("scheduled", 30), ("sandbox", 150), ("retried", 30))
    assert sum(mean for _, mean in found.means) == (220 + 200) / 2


def test_a_start_that_is_seen_twice_counts_once() -> None:
    sums = StageSums()
    for _ in range(2):
        sums.add("uid", start("Warm", "t1", told=900))
    sums.add("other", start("Warm", "t1", told=900))

    assert sums.means()[0].count == 2


def test_modes_and_stops_are_apart() -> None:
    sums = StageSums()
    stop = {"lastStop": start("Warm", "t1", ended=500)["lastStart"]}
    sums.add("uid", start("Warm", "t0", told=900) | stop)
    sums.add("uid", start("Cold", "t2", scheduled=1))

    assert {(one.mode, one.what) for one in sums.means()} == {
        ("warm", "start"),
        ("warm", "stop"),
        ("cold", "start"),
    }


def test_a_status_without_stages_says_nothing() -> None:
    sums = StageSums()
    sums.add("uid", {})
    sums.add("uid", {"lastStart": None})

    assert sums.means() == ()
