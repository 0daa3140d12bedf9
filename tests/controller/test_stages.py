"""Starts and stops on the fakes, each with its breakdown: in status, in the metrics, in the log."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as families

from controller import metrics
from controller.__main__ import json_lines
from controller.errors import NotYet
from controller.model import POD, SC, SCI
from tests.controller.world import APP, World

if TYPE_CHECKING:
    from controller.model import Body

CALL_SECONDS = 0.003


@pytest.fixture
async def running() -> World:
    """Every call costs some time, so that stages have a length."""
    world = World()

    async def tick(_call: str) -> None:
        world.time += CALL_SECONDS

    world.kube.before = world.agents.before = tick
    world.create()
    await world.settle()
    assert world.status()["phase"] == "Running", world.status()
    return world


def stages(of: Body) -> list[str]:
    return [one["name"] for one in of["stages"]]


def is_whole(of: Body) -> bool:
    return bool(sum(one["microseconds"] for one in of["stages"]) == of["microseconds"])


def count(metric: str, **labels: str) -> float:
    found = families(metrics.text().decode())
    return sum(
        one.value
        for family in found
        for one in family.samples
        if one.name == f"stoppablecontainer_controller_{metric}"
        and labels.items() <= one.labels.items()
    )


async def stop(world: World) -> Body:
    world.run(False)
    await world.settle()
    assert world.status()["phase"] == "Stopped", world.status()
    found: Body = world.status()["lastStop"]
    return found


async def start(world: World) -> Body:
    world.run(True)
    await world.settle()
    assert world.status()["phase"] == "Running", world.status()
    found: Body = world.status()["lastStart"]
    return found


async def test_the_first_start_shows_how_the_root_was_made(running: World) -> None:
    first = running.status()["lastStart"]

    assert stages(first) == [
        "patchSeen", "instanceWritten", "rootEnsured", "podCreated", "scheduled", "sandboxUp",
        "containerCreated", "rootSwapped", "rootVerified", "commandRunning", "ready",
    ]  # fmt: skip
    assert is_whole(first)
    assert first["mode"] == "Cold"
    assert first["microseconds"] > 0
    assert "lastStop" not in running.status()


async def test_a_stop_and_a_start_carry_their_stages(running: World) -> None:
    ended = await stop(running)
    begun = await start(running)

    assert stages(ended) == [
        "patchSeen", "podDeleted", "commandStopped", "podGone", "synced", "stopped",
    ]  # fmt: skip
    assert stages(begun) == [
        "patchSeen", "podCreated", "scheduled", "sandboxUp", "containerCreated", "rootSwapped",
        "rootVerified", "commandRunning", "ready",
    ]  # fmt: skip
    assert is_whole(ended)
    assert is_whole(begun)
    assert running.status()["lastStop"] == ended


async def test_stages_last_as_long_as_their_calls(running: World) -> None:
    ended = await stop(running)
    begun = await start(running)

    lasted = {one["name"]: one["microseconds"] for one in ended["stages"] + begun["stages"]}
    # Nobody is asked for anything before the pod.
    for stage in ("podDeleted", "podCreated"):
        assert lasted[stage] == pytest.approx(CALL_SECONDS * 1e6, abs=2)


async def test_the_instance_shows_the_same(running: World) -> None:
    await stop(running)
    await start(running)

    mirrored = running.kube.objects[SCI, APP]["status"]
    for name in ("lastStart", "lastStop"):
        assert mirrored[name] == running.status()[name]


async def test_a_pod_that_is_made_anew_is_no_start_of_the_user(running: World) -> None:
    before = running.status()["lastStart"]
    running.kube.remove(POD, APP)

    await running.settle()

    assert running.status()["phase"] == "Running"
    assert running.status()["lastStart"] == before


async def test_a_start_with_a_second_pod_shows_the_second(running: World) -> None:
    await stop(running)
    running.bad_images.add("busybox:1")
    running.run(True)
    await running.settle(5)
    running.kube.remove(POD, APP)
    running.bad_images.clear()

    begun = await start(running)

    names = stages(begun)
    assert names.index("scheduled") == names.index("podCreated") + 1
    assert is_whole(begun)


async def test_a_stop_that_a_start_cuts_leaves_nothing(running: World) -> None:
    running.kubelets.dead.add("n1")
    running.run(False)
    await running.settle(0.5)
    running.run(True)
    running.kubelets.dead.discard("n1")
    await running.settle()

    assert "lastStop" not in running.status()
    assert "podCreated" in stages(running.status()["lastStart"])
    assert is_whole(running.status()["lastStart"])


async def test_a_start_that_cuts_a_stop_before_it_began_leaves_nothing(running: World) -> None:
    before = running.status()["lastStart"]
    running.run(False)
    running.run(True)

    await running.settle()

    assert running.status()["observedGeneration"] == 3
    assert running.status()["lastStart"] == before
    assert "lastStop" not in running.status()


async def test_a_start_that_a_stop_cuts_leaves_nothing(running: World) -> None:
    first = running.status()["lastStart"]
    await stop(running)
    running.kubelets.dead.add("n1")
    running.run(True)
    await running.settle(0.5)
    running.kubelets.dead.discard("n1")

    ended = await stop(running)

    assert running.status()["lastStart"] == first
    assert is_whole(ended)


async def test_a_controller_that_saw_no_begin_writes_no_times(running: World) -> None:
    first = running.status()["lastStart"]
    await stop(running)
    running.kubelets.dead.add("n1")
    running.run(True)
    await running.settle(0.5)
    await running.restart_controller()
    running.kubelets.dead.discard("n1")

    await running.settle()

    assert running.status()["phase"] == "Running"
    assert running.status()["lastStart"] == first
    assert is_whole(await stop(running))


async def test_the_next_leader_measures_what_it_sees_begin(running: World) -> None:
    await running.restart_controller()

    ended = await stop(running)

    assert stages(ended)[0] == "patchSeen"
    assert is_whole(ended)


@pytest.mark.parametrize("skew", [-3600, 3600])
async def test_a_node_whose_clock_is_wrong_cannot_change_the_total(
    running: World, skew: int
) -> None:
    right = (await stop(running), await start(running))
    running.agents.wall = lambda: running.wall() + skew * 1_000_000

    wrong = (await stop(running), await start(running))

    for one, other in zip(right, wrong, strict=True):
        assert is_whole(other)
        assert other["microseconds"] == pytest.approx(one["microseconds"], abs=2)
        assert set(stages(other)) == set(stages(one))


async def test_an_agent_that_tells_no_times_leaves_only_its_stages_out(running: World) -> None:
    running.agents.wall = lambda: 0
    ended = await stop(running)
    begun = await start(running)

    assert "commandStopped" in stages(ended)
    assert is_whole(ended)
    assert {"sandboxUp", "commandRunning"} & set(stages(begun)) == set()
    assert is_whole(begun)


async def test_a_status_that_could_not_be_written_is_written_with_its_times_later(
    running: World,
) -> None:
    refused: list[Any] = []
    before = running.kube.before

    async def refuse(call: str) -> None:
        assert before is not None
        await before(call)
        if call == "apply status" and not refused:
            refused.append(call)
            raise NotYet("the API server restarts")

    running.kube.before = refuse
    counted = count("stop_seconds_count", mode="Cold")
    with pytest.raises(NotYet):
        await stop(running)
    running.dirty.add(APP)

    ended = await stop(running)

    assert is_whole(ended)
    assert count("stop_seconds_count", mode="Cold") == counted + 1


async def test_metrics_count_starts_stops_and_their_stages(running: World) -> None:
    before = {
        name: count(name, mode="Cold") for name in ("start_seconds_count", "stop_seconds_count")
    }
    of_stage = {"transition": "start", "mode": "Cold", "stage": "podCreated"}
    staged, total = count("stage_seconds_count", **of_stage), count("start_seconds_sum")

    await stop(running)
    begun = await start(running)

    for name, was in before.items():
        assert count(name, mode="Cold") == was + 1
    assert count("stage_seconds_count", **of_stage) == staged + 1
    assert count("start_seconds_sum") - total == pytest.approx(begun["microseconds"] / 1e6)
    assert count("stage_seconds_count", stage="patchSeen") == 0


async def test_one_line_of_the_log_tells_all(
    running: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "controller.stopwatch")

    ended = await stop(running)

    (record,) = [one for one in caplog.records if one.name == "controller.stopwatch"]
    line = json.loads(json_lines().format(record))
    assert line["event"].startswith("default/app: Cold stop took ")
    told = {"namespace", "name", "transition", "mode", "microseconds", "stages"}
    assert {name: line[name] for name in told} == {
        "namespace": "default",
        "name": "app",
        "transition": "stop",
        "mode": "Cold",
        "microseconds": ended["microseconds"],
        "stages": {one["name"]: one["microseconds"] for one in ended["stages"]},
    }
    assert line["uid"] == running.kube.objects[SC, APP]["metadata"]["uid"]
