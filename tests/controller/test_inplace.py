"""Stop and start within a pod that stays, on the fakes."""

from __future__ import annotations

from typing import Any

import pytest

from controller import names
from controller.model import Process
from tests.controller.warm import last, pod_uid, process, start, stop, told, warm


@pytest.mark.parametrize(("mode", "rest"), [("Warm", Process.STOPPED), ("Freeze", Process.FROZEN)])
async def test_a_stop_keeps_the_pod_and_a_start_uses_it(mode: str, rest: Process) -> None:
    world = await warm(mode)
    uid = pod_uid(world)

    await stop(world)

    assert world.status()["phase"] == "Stopped"
    assert (pod_uid(world), process(world)) == (uid, rest)
    assert told(world)["Ready"] == told(world)[names.RUNNING_CONDITION] == "False"
    assert world.condition("PodKept") == ("True", rest.value)
    assert last(world, "Stop") == (mode, "")
    await start(world)
    assert world.condition("Ready") == ("True", "Running")
    assert (pod_uid(world), process(world)) == (uid, Process.RUNNING)
    assert told(world)["Ready"] == told(world)[names.RUNNING_CONDITION] == "True"
    assert last(world, "Start") == (mode, "")


async def test_a_start_tells_the_agent_before_anything_is_written() -> None:
    world = await warm()
    await stop(world)
    order: list[str] = []

    async def record(call: str) -> None:
        order.append(call)

    world.kube.before = world.agents.before = record
    await start(world)

    assert order[0] == "start_process"


async def test_people_see_a_warm_stop_and_start_before_the_instance_is_written() -> None:
    world = await warm()
    for act in (stop, start):
        before = len(world.kube.writes)
        await act(world)
        kinds = [kind for verb, kind, _ in world.kube.writes[before:] if verb != "create"]
        assert kinds == ["Pod", "StoppableContainer", *["StoppableContainerInstance"] * 2]


async def test_a_warm_stop_and_start_cost_eight_writes() -> None:
    world = await warm()
    for _ in range(2):
        before = len(world.kube.writes)
        await stop(world)
        await start(world)
        cycle = world.kube.writes[before:]

    assert len(cycle) == 8, cycle


async def test_stopped_is_not_said_while_the_command_ends() -> None:
    world = await warm()
    world.agents.stubborn.add(pod_uid(world))

    await stop(world)

    assert world.status()["phase"] == "Pending"
    assert world.condition("Ready") == ("False", "Stopping")
    assert told(world)["Ready"] == "False"
    world.agents.ended("n1", pod_uid(world))
    await world.settle()
    assert world.status()["phase"] == "Stopped"


async def test_a_start_during_a_stop_runs_the_command_again() -> None:
    world = await warm()
    world.agents.stubborn.add(pod_uid(world))
    await stop(world)

    await start(world)
    assert world.condition("Ready")[0] == "False"
    world.agents.ended("n1", pod_uid(world))
    await world.settle()

    assert world.condition("Ready") == ("True", "Running")
    assert process(world) is Process.RUNNING


async def test_a_restarted_controller_leaves_a_stopped_pod_alone() -> None:
    world = await warm()
    await stop(world)
    uid, before = pod_uid(world), len(world.kube.writes)

    await world.restart_controller()
    await world.settle()

    assert (pod_uid(world), world.kube.writes[before:]) == (uid, [])
    assert world.status()["phase"] == "Stopped"


async def test_hooks_of_the_pod_run_at_its_stop_and_start() -> None:
    def hook(word: str) -> dict[str, Any]:
        return {"exec": {"command": [word]}}

    lifecycle = {"preStop": hook("bye"), "postStart": hook("hello")}
    container = {"image": "busybox:1", "command": ["sleep"], "lifecycle": lifecycle}
    world = await warm(template={"container": container})

    await stop(world)
    await start(world)

    assert [one[-1] for one in world.agents.hooks] == ["bye", "hello"]


@pytest.mark.parametrize(("probe", "ready"), [({}, "True"), ({"readinessProbe": {}}, "False")])
async def test_ready_waits_for_kubelet_only_where_a_probe_has_to_look(
    probe: dict[str, Any], ready: str
) -> None:
    if probe:
        probe = {"readinessProbe": {"exec": {"command": ["true"]}}}
    container = {"image": "busybox:1", "command": ["sleep"], **probe}
    world = await warm(template={"container": container})
    await stop(world)
    world.dead_nodes.add("n1")

    await start(world)

    assert told(world)["Ready"] == ready
    assert (world.condition("Ready")[0] == "True") is (ready == "True")
