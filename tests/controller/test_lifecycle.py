"""The main job on the fakes.

Create, start, stop, delete, and what people and nodes do in between.
"""

from __future__ import annotations

import pytest

from controller import names
from controller.model import NODE, POD, SC, SCI, Key
from tests.controller.world import APP, PROVIDER, World


@pytest.fixture
async def running() -> World:
    world = World()
    world.create()
    await world.settle()
    assert world.status()["phase"] == "Running", world.status()
    return world


async def test_a_new_object_runs(running: World) -> None:
    status = running.status()

    assert status["node"] == status["nodeName"] == "n1"
    assert status["consumerPodName"] == "app"
    assert status["providerPodName"] == "app-provider"
    assert running.condition("Ready") == ("True", "Running")
    assert running.condition("RootReady") == ("True", "Mounted")
    assert running.kube.objects[SCI, APP]["spec"]["node"] == "n1"
    assert running.kube.objects[SCI, APP]["status"]["phase"] == "Running"
    assert names.FINALIZER in running.kube.objects[SC, APP]["metadata"]["finalizers"]
    assert {"Started", "RootReady"} <= set(running.events())


async def test_stop_and_start_keep_the_root(running: World) -> None:
    births = running.births()

    running.run(False)
    await running.settle()

    assert running.status()["phase"] == "Stopped"
    assert running.status()["consumerPodName"] == ""
    assert running.get(POD, APP) is None
    assert running.get(POD, PROVIDER) is not None
    assert running.condition("ConsumerReady") == ("False", "Stopped")
    running.run(True)
    await running.settle()
    assert running.status()["phase"] == "Running"
    assert running.births() == births


async def test_one_stop_and_start_cost_eight_writes(running: World) -> None:
    for _ in range(2):
        before = len(running.kube.writes)
        running.run(False)
        await running.settle()
        running.run(True)
        await running.settle()
        cycle = running.kube.writes[before:]

    assert len(cycle) == 8, cycle
    assert cycle[0] == ("delete", "Pod", "app")
    assert cycle[4] == ("create", "Pod", "app")


async def test_nothing_is_written_when_nothing_changes(running: World) -> None:
    before = len(running.kube.writes)

    running.dirty.add(APP)
    await running.settle()

    assert running.kube.writes[before:] == []


async def test_a_start_creates_the_pod_before_anything_else(running: World) -> None:
    running.run(False)
    await running.settle()
    order: list[str] = []

    async def record(call: str) -> None:
        order.append(call)

    running.kube.before = running.agents.before = record
    running.run(True)
    await running.settle()

    assert order[:3] == ["create", "admit", "apply status"]


async def test_stopped_from_the_start_prepares_the_root() -> None:
    world = World()
    world.create(running=False)

    await world.settle()

    assert world.status()["phase"] == "Stopped"
    assert world.condition("RootReady") == ("True", "Mounted")
    assert world.get(POD, APP) is None


async def test_deletion_leaves_nothing(running: World) -> None:
    running.kube.remove(SC, APP)

    await running.settle()

    assert running.get(SC, APP) is None
    assert running.get(SCI, APP) is None
    assert running.get(POD, APP) is None
    assert running.get(POD, PROVIDER) is None
    assert running.births() == []


async def test_deletion_while_stopped_leaves_nothing(running: World) -> None:
    running.run(False)
    await running.settle()
    running.kube.remove(SC, APP)

    await running.settle()

    assert running.get(SC, APP) is None
    assert running.births() == []


async def test_deletion_waits_for_an_unreachable_node(running: World) -> None:
    running.run(False)
    await running.settle()
    running.agents.down("n1")
    running.kube.remove(SC, APP)

    await running.settle()

    assert running.get(SC, APP) is not None
    assert running.condition("RootReady") == ("False", "AgentUnavailable")
    running.agents.back("n1")
    await running.settle()
    assert running.get(SC, APP) is None
    assert running.births() == []


async def test_deletion_takes_a_removed_node_as_gone_and_says_so(running: World) -> None:
    running.run(False)
    await running.settle()
    running.agents.down("n1")
    running.kube.remove(SC, APP)
    await running.settle()
    running.kube.forget(POD, Key("stoppablecontainer-system", "agent-n1"))
    running.kube.forget(NODE, Key("", "n1"))

    await running.settle()

    assert running.get(SC, APP) is None
    assert "RootGone" in running.events()


async def test_deletion_waits_for_processes_of_a_force_deleted_pod(running: World) -> None:
    running.force_delete(APP, survive=True)
    running.kube.remove(SC, APP)

    await running.settle()

    assert running.get(SC, APP) is not None
    running.end_survivors()
    await running.settle()
    assert running.get(SC, APP) is None


@pytest.mark.parametrize("with_status", [True, False])
async def test_a_deleted_instance_comes_back_with_its_data(
    running: World, *, with_status: bool
) -> None:
    births = running.births()
    uid = running.kube.objects[SCI, APP]["metadata"]["uid"]
    if not with_status:
        running.kube.change(SC, APP, {"status": None})
    running.kube.remove(SCI, APP)

    await running.settle()

    instance = running.kube.objects[SCI, APP]
    assert instance["metadata"]["uid"] != uid
    assert instance["spec"]["node"] == "n1"
    assert running.births() == births
    assert running.status()["phase"] == "Running"


async def test_the_node_that_has_the_root_wins_after_everything_was_lost(running: World) -> None:
    births = running.births()
    running.agents.down("n2")
    running.kube.remove(SCI, APP)
    running.kube.change(SC, APP, {"status": None})
    await running.restart_controller()

    await running.settle()
    running.agents.back("n2")
    await running.settle()

    assert running.status()["node"] == "n1"
    assert running.births() == births


@pytest.mark.parametrize("stopped", [True, False])
async def test_a_deleted_provider_comes_back_and_the_consumer_stays(
    running: World, *, stopped: bool
) -> None:
    if stopped:
        running.run(False)
        await running.settle()
    consumer = running.get(POD, APP)
    births = running.births()
    running.kube.remove(POD, PROVIDER)

    await running.settle()

    provider = running.kube.objects[POD, PROVIDER]
    assert provider["spec"]["nodeName"] == "n1"
    terms = provider["spec"]["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]["nodeSelectorTerms"]
    assert terms[0]["matchFields"][0]["values"] == ["n1"]
    assert (running.get(POD, APP) or {}).get("metadata") == (consumer or {}).get("metadata")
    assert running.births() == births
    assert running.status()["phase"] == ("Stopped" if stopped else "Running")


async def test_a_deleted_consumer_is_made_again(running: World) -> None:
    uid = running.kube.objects[POD, APP]["metadata"]["uid"]
    running.kube.remove(POD, APP)

    await running.settle()

    assert running.kube.objects[POD, APP]["metadata"]["uid"] != uid
    assert running.status()["phase"] == "Running"


async def test_an_evicted_provider_is_replaced(running: World) -> None:
    uid = running.kube.objects[POD, PROVIDER]["metadata"]["uid"]
    running.kube.change(POD, PROVIDER, {"status": {"phase": "Failed", "reason": "Evicted"}})

    await running.settle()

    assert running.kube.objects[POD, PROVIDER]["metadata"]["uid"] != uid
    assert running.status()["phase"] == "Running"


async def test_quick_toggling_ends_in_what_was_asked_last(running: World) -> None:
    for wanted in (False, True, False, True, False):
        running.run(wanted)
        await running.settle(0.05)

    await running.settle()

    assert running.status()["phase"] == "Stopped"
    assert running.get(POD, APP) is None


async def test_another_replica_takes_over_without_touching_anything(running: World) -> None:
    await running.restart_controller()
    before = len(running.kube.writes)

    await running.settle()

    assert running.kube.writes[before:] == []
    assert running.status()["phase"] == "Running"


async def test_a_replica_without_the_lease_only_listens() -> None:
    world = World()
    world.leading = False
    world.create()

    await world.settle()

    assert world.kube.writes == []
    assert [word.agent.connected for word in world.store.words().values()] == [True, True]


async def test_a_phase_that_is_asked_for_and_is_not_so_is_taken_back_at_once(
    running: World,
) -> None:
    """As after a start that was taken back before anything else was written."""
    running.kube.change(SC, APP, {"status": {"phase": "Stopped"}})
    running.kubelets.dead.add("n1")
    before = len(running.kube.writes)
    running.run(False)
    await running.settle(0.5)

    assert running.kube.writes[before] == ("apply status", "StoppableContainer", "app")
    assert running.get(POD, APP) is not None
    assert running.status()["phase"] == "Pending"
    running.kubelets.dead.discard("n1")
    await running.settle()
    assert running.status()["phase"] == "Stopped"
