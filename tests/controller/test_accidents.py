"""What accidents do, on the fakes: agents, nodes and pods go away and come back; the data stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.model import NODE, POD, Key
from tests.controller.world import APP, PROVIDER, World


@pytest.fixture
async def running() -> World:
    world = World()
    world.create()
    await world.settle()
    return world


async def test_processes_of_a_force_deleted_pod_are_waited_for(running: World) -> None:
    running.force_delete(APP, survive=True)

    await running.settle(30)

    assert running.get(POD, APP) is None
    assert running.condition("ConsumerReady") == ("False", "RootBusy")
    running.end_survivors()
    await running.settle()
    assert running.status()["phase"] == "Running"


async def test_an_agent_restart_changes_nothing_for_a_running_container(running: World) -> None:
    uid = running.kube.objects[POD, APP]["metadata"]["uid"]
    running.agents.down("n1")
    await running.settle(30)
    assert running.status()["phase"] == "Running"
    assert running.condition("RootReady") == ("False", "AgentUnavailable")

    running.agents.back("n1")
    await running.settle()

    assert running.kube.objects[POD, APP]["metadata"]["uid"] == uid
    assert running.condition("RootReady") == ("True", "Mounted")


async def test_a_start_without_the_agent_waits_for_it(running: World) -> None:
    running.run(False)
    await running.settle()
    running.agents.down("n1")
    running.run(True)

    await running.settle(30)

    assert running.get(POD, APP) is None
    assert running.status()["phase"] == "Pending"
    running.agents.back("n1")
    await running.settle()
    assert running.status()["phase"] == "Running"


async def test_a_crashed_node_goes_on_when_it_is_back(running: World) -> None:
    births = running.births()
    running.node_down("n1")
    await running.settle(30)
    assert running.condition("NodeAssigned") == ("False", "NodeLost")

    running.node_up("n1")
    await running.settle()

    assert running.status()["phase"] == "Running"
    assert running.births() == births


async def test_a_consumer_that_met_the_guard_is_replaced_when_the_agent_is_back(
    running: World,
) -> None:
    running.agents.down("n1")
    running.kube.change(POD, APP, {"status": {"containerStatuses": None}})
    uid = running.kube.objects[POD, APP]["metadata"]["uid"]
    running.agents.agents["n1"].processes.clear()
    running.agents.stop("n1", uid)
    await running.settle(30)
    assert running.kube.objects[POD, APP]["metadata"]["uid"] == uid
    root = next(iter(running.agents.agents["n1"].roots.values()))
    running.agents._keep(
        running.agents.agents["n1"],
        replace(root, held=False, holder=""),
    )

    running.agents.back("n1")
    await running.settle()

    assert running.kube.objects[POD, APP]["metadata"]["uid"] != uid
    assert running.status()["phase"] == "Running"


async def test_a_node_that_is_gone_is_shown_and_no_empty_root_is_made(running: World) -> None:
    running.node_down("n1")
    running.kube.forget(POD, Key("stoppablecontainer-system", "agent-n1"))
    running.kube.forget(NODE, Key("", "n1"))
    for key in (APP, PROVIDER):
        running.kube.forget(POD, key)

    await running.settle()

    assert running.status()["phase"] == "Pending"
    assert running.condition("NodeAssigned") == ("False", "NodeLost")
    assert running.get(POD, APP) is None
    assert running.agents.agents["n2"].roots == {}


async def test_data_that_is_gone_is_shown_and_no_empty_root_is_made(running: World) -> None:
    running.run(False)
    await running.settle()
    running.agents.down("n1")
    running.agents.agents["n1"].roots.clear()
    running.agents.back("n1")

    await running.settle()

    assert running.condition("RootReady") == ("False", "RootLost")
    assert running.status()["phase"] == "Error"
    assert running.agents.agents["n1"].roots == {}


async def test_an_evicted_consumer_is_made_again(running: World) -> None:
    uid = running.kube.objects[POD, APP]["metadata"]["uid"]
    running.agents.stop("n1", uid)
    running.kube.change(POD, APP, {"status": {"phase": "Failed", "reason": "Evicted"}})

    await running.settle()

    assert running.kube.objects[POD, APP]["metadata"]["uid"] != uid
    assert running.status()["phase"] == "Running"
