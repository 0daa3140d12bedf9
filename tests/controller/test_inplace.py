"""Stop and start within a pod that stays, on the fakes; and when the pod does not stay."""

from __future__ import annotations

from typing import Any

import pytest

from controller import names
from controller.errors import NotYet
from controller.model import POD, SC, Process
from tests.controller.world import APP, World


async def warm(mode: str = "Warm", **spec: Any) -> World:
    world = World()
    world.create(stopMode=mode, **spec)
    await world.settle()
    assert world.condition("Ready") == ("True", "Running"), world.status()
    return world


async def stop(world: World) -> None:
    world.run(False)
    await world.settle()


async def start(world: World) -> None:
    world.run(True)
    await world.settle()


def pod_uid(world: World) -> str:
    return str(world.kube.objects[POD, APP]["metadata"]["uid"])


def told(world: World) -> dict[str, str]:
    conditions = world.kube.objects[POD, APP]["status"]["conditions"]
    return {one["type"]: one["status"] for one in conditions}


def last(world: World, which: str) -> tuple[str, str]:
    """What kind the latest start or stop was, and why."""
    found = world.status()[f"last{which}"]
    return found["mode"], found.get("reason", "")


def process(world: World) -> Process:
    (root,) = world.agents.agents["n1"].roots.values()
    return root.process


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


async def test_another_template_ends_the_stopped_pod_and_applies_at_the_next_start() -> None:
    world = await warm()
    uid = pod_uid(world)
    await stop(world)

    world.kube.change(SC, APP, {"spec": {"template": {"container": {"command": ["other"]}}}})
    await world.settle()

    assert world.get(POD, APP) is None
    assert world.status()["phase"] == "Stopped"
    await start(world)
    assert world.condition("Ready") == ("True", "Running")
    assert pod_uid(world) != uid
    assert world.kube.objects[POD, APP]["spec"]["containers"][0]["command"][1:] == ["other"]
    assert last(world, "Start") == ("Cold", "TemplateChanged")


async def test_a_template_changed_together_with_the_start_makes_the_pod_anew() -> None:
    world = await warm()
    await stop(world)

    template = {"container": {"command": ["other"]}}
    world.kube.change(SC, APP, {"spec": {"running": True, "template": template}})
    await world.settle()

    assert world.condition("Ready") == ("True", "Running")
    assert world.kube.objects[POD, APP]["spec"]["containers"][0]["command"][1:] == ["other"]


async def test_a_pod_lost_while_stopped_is_made_anew_at_the_start() -> None:
    world = await warm()
    await stop(world)
    births = world.births()
    world.kube.remove(POD, APP)
    await world.settle()
    assert world.status()["phase"] == "Stopped"

    await start(world)

    assert world.condition("Ready") == ("True", "Running")
    assert world.births() == births
    assert last(world, "Start") == ("Cold", "PodLost")


async def test_a_pod_that_failed_while_stopped_goes() -> None:
    world = await warm()
    await stop(world)

    world.kube.change(POD, APP, {"status": {"phase": "Failed", "reason": "Evicted"}})
    world.agents.stop("n1", pod_uid(world))
    await world.settle()

    assert world.get(POD, APP) is None
    assert world.status()["phase"] == "Stopped"


async def test_cold_while_stopped_lets_the_pod_go() -> None:
    world = await warm()
    await stop(world)

    world.kube.change(SC, APP, {"spec": {"stopMode": "Cold"}})
    await world.settle()

    assert world.get(POD, APP) is None
    assert world.status()["phase"] == "Stopped"


async def test_a_pod_made_for_cold_stops_goes_at_the_stop_and_the_next_one_stays() -> None:
    world = World()
    world.create()
    await world.settle()
    world.kube.change(SC, APP, {"spec": {"stopMode": "Warm"}})
    await world.settle()
    assert world.condition("Ready") == ("True", "Running")

    await stop(world)
    assert world.get(POD, APP) is None
    assert last(world, "Stop") == ("Cold", "NotSupervised")
    await start(world)
    await stop(world)

    assert last(world, "Start") == ("Cold", "NotSupervised")
    assert process(world) is Process.STOPPED
    assert world.status()["phase"] == "Stopped"


async def test_an_agent_that_is_away_makes_the_stop_wait_and_then_cold() -> None:
    world = await warm()
    world.agents.down("n1")

    await stop(world)

    assert world.get(POD, APP) is None
    assert world.status()["phase"] != "Stopped"
    world.agents.back("n1")
    await world.settle()
    assert world.status()["phase"] == "Stopped"


async def test_a_gate_that_does_not_answer_is_left_to_the_kubelet() -> None:
    world = await warm()
    await stop(world)
    uid = pod_uid(world)
    world.agents.agents["n1"].refuse["start_process"] = NotYet("its gate has not connected yet")

    await start(world)

    assert world.condition("Ready") == ("True", "Running")
    assert pod_uid(world) != uid
    assert last(world, "Start") == ("Cold", "GateSilent")


async def test_deleting_a_frozen_container_thaws_it_first() -> None:
    world = await warm("Freeze")
    await stop(world)
    order: list[str] = []

    async def record(call: str) -> None:
        order.append(call)

    world.kube.before = world.agents.before = record
    world.kube.remove(SC, APP)
    await world.settle()

    assert order.index("start_process") < order.index("delete")
    assert world.get(SC, APP) is None
    assert world.births() == []


async def test_a_frozen_pod_that_is_drained_is_thawed() -> None:
    world = await warm("Freeze")
    await stop(world)
    world.dead_nodes.add("n1")

    world.kube.remove(POD, APP)
    await world.settle()

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


async def test_what_cannot_be_stopped_in_its_pod_stops_cold() -> None:
    two = [{"name": "a", "image": "busybox:1"}, {"name": "b", "image": "busybox:1"}]
    world = await warm(template={"spec": {"containers": two}})
    assert last(world, "Start") == ("Cold", "FirstStart")
    assert world.condition("PodKept") == ("False", "Unsupported")

    await stop(world)

    assert world.get(POD, APP) is None
    assert world.status()["phase"] == "Stopped"


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
