"""A whole run on a cluster in memory: what is measured, what is said when a kind is missing."""

from __future__ import annotations

import time

from deploy.bench.counts import Budget, counts
from deploy.bench.cycles import Bench
from deploy.bench.result import Result, from_text, to_text
from deploy.bench.run import Run, measure, result
from deploy.bench.usage import Product
from tests.bench.fake_cluster import FakeCluster


def run_on(cluster: FakeCluster, count: int = 2) -> tuple[Result, bool]:
    said: list[str] = []
    state = Run(
        Bench(cluster),
        Product(cluster, settle=0.0),
        counts(count),
        Budget(600, time.monotonic),
        said.append,
        idle_seconds=0.0,
        pauses={"Warm": 0.0, "Freeze": 0.0},
    )
    measure(state, size=3)
    return result(state, (("Kubernetes", "1.36.3"),)), state.failed


def sizes(found: Result, what: str) -> dict[str, int]:
    return {
        f"{one.mode}, {one.volumes}": len(one.seconds) for one in found.series if one.what == what
    }


def test_every_kind_is_measured_as_often_as_it_should_be() -> None:
    found, failed = run_on(FakeCluster({"Warm", "Freeze"}))

    assert not failed
    assert not found.notes
    assert sizes(found, "start") == {
        "bare, no volume": 2,
        "cold, no volume": 2,
        "bare, token volume": 2,
        "cold, token volume": 2,
        "create, token volume": 2,
        "warm, token volume": 16,
        "freeze, token volume": 6,
    }
    assert sizes(found, "crowd-last") == {"bare, no volume": 2, "cold, no volume": 2}
    assert sizes(found, "stop-sleep") == {"bare, no volume": 2, "cold, no volume": 2}
    assert {one.mode for one in found.stages} == {"cold", "warm", "freeze"}
    figures = {one.name: one.value for one in found.figures}
    assert figures["API writes of a cycle (cold, no volume)"] == 1
    assert figures["agent: memory (RSS) of one pod"] == 1
    assert "one stopped warm container (its own pod): memory (RSS)" in figures


def test_the_result_of_a_run_can_be_read_again() -> None:
    found, _ = run_on(FakeCluster({"Warm"}))

    assert from_text(to_text(found)) == found


def test_a_product_without_warm_starts_is_told_and_not_measured() -> None:
    found, failed = run_on(FakeCluster(set()))

    assert not failed
    assert {one.mode for one in found.series} == {"bare", "cold", "create"}
    assert [note.split(":")[0] for note in found.notes] == ["warm", "freeze"]


def test_all_is_cleared_up() -> None:
    cluster = FakeCluster({"Warm", "Freeze"})
    run_on(cluster)

    assert not [path for path in cluster.objects if path.startswith(cluster.stoppables)]


def test_a_part_that_fails_does_not_cost_the_others() -> None:
    cluster = FakeCluster({"Warm"})
    leftover = {"metadata": {"name": "warm"}, "spec": {"running": False}}
    cluster.create(cluster.stoppables, leftover)
    found, failed = run_on(cluster)

    assert failed
    assert "warm: ended early, so its rows are of fewer cycles" in found.notes
    assert "crowd-last" in {one.what for one in found.series}


def test_without_the_proxies_the_times_are_still_measured() -> None:
    found, failed = run_on(FakeCluster(set(), proxies=False))

    assert not failed
    assert not found.figures
    assert any("cannot be read here" in note for note in found.notes)
    assert sizes(found, "start")["cold, no volume"] == 2
