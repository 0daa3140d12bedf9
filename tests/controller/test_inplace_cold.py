"""When a pod whose command is stopped does not stay, on the fakes."""

from __future__ import annotations

from controller.errors import NotYet
from controller.model import POD, SC, Process
from tests.controller.warm import last, pod_uid, process, start, stop, warm
from tests.controller.world import APP, World


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


async def test_what_cannot_be_stopped_in_its_pod_stops_cold() -> None:
    two = [{"name": "a", "image": "busybox:1"}, {"name": "b", "image": "busybox:1"}]
    world = await warm(template={"spec": {"containers": two}})
    assert last(world, "Start") == ("Cold", "FirstStart")
    assert world.condition("PodKept") == ("False", "Unsupported")

    await stop(world)

    assert world.get(POD, APP) is None
    assert world.status()["phase"] == "Stopped"
