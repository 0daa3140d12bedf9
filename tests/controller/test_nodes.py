"""Labels and conditions of nodes, and how Events are kept few, on the fakes."""

from __future__ import annotations

from typing import Any

from controller import names
from controller.announce import QUIET_SECONDS, Announcement, EventLog
from controller.model import EVENT, NODE, POD, AgentStatus, Key
from controller.nodes import agent_address
from tests.controller.world import SYSTEM, World
from tests.fakes.kube import FakeKube

N1 = Key("", "n1")


def label(world: World) -> str | None:
    labels = world.kube.objects[NODE, N1]["metadata"].get("labels") or {}
    found: str | None = labels.get(names.AGENT_LABEL)
    return found


def condition(world: World) -> dict[str, Any]:
    found = world.kube.objects[NODE, N1]["status"]["conditions"]
    wanted: dict[str, Any] = next(one for one in found if one["type"] == names.NODE_CONDITION)
    return wanted


async def test_a_ready_agent_labels_its_node_and_kubelets_conditions_stay() -> None:
    world = World("n1")

    await world.settle()

    assert label(world) == "ready"
    assert condition(world)["status"] == "True"
    assert {"type": "Ready", "status": "True"} in world.kube.objects[NODE, N1]["status"][
        "conditions"
    ]


async def test_a_node_that_stays_as_it_is_is_written_once() -> None:
    world = World("n1")
    await world.settle(60)

    world.kube.change(NODE, N1, {"metadata": {"annotations": {"somebody": "else"}}})
    await world.settle(60)

    assert [one for one in world.kube.writes if one[1] == "Node"] == [
        ("patch", "Node", "n1"),
        ("patch status", "Node", "n1"),
    ]


async def test_an_agent_that_says_not_ready_unlabels_its_node_at_once() -> None:
    world = World("n1")
    await world.settle()

    world.agents.say("n1", AgentStatus(False, "NRIUnavailable", "switch NRI on"))
    await world.settle(1)

    assert label(world) is None
    assert (condition(world)["status"], condition(world)["reason"]) == ("False", "NRIUnavailable")


async def test_a_short_silence_changes_nothing_and_a_long_one_unlabels() -> None:
    world = World("n1")
    await world.settle()
    writes = len(world.kube.writes)

    world.agents.down("n1")
    await world.settle(10)
    assert label(world) == "ready"
    assert len(world.kube.writes) == writes
    await world.settle(10)

    assert label(world) is None
    assert condition(world)["reason"] == "AgentUnavailable"
    world.agents.back("n1")
    await world.settle()
    assert label(world) == "ready"


async def test_a_new_controller_does_not_unlabel_what_it_has_not_heard_yet() -> None:
    world = World("n1")
    await world.settle()
    writes = len(world.kube.writes)

    await world.restart_controller()
    await world.settle()

    assert label(world) == "ready"
    assert len(world.kube.writes) == writes


async def test_a_node_without_an_agent_loses_its_label() -> None:
    world = World("n1")
    await world.settle()

    world.kube.forget(POD, Key(SYSTEM, "agent-n1"))
    await world.settle()

    assert label(world) is None
    assert condition(world)["reason"] == "NoAgent"


def test_the_newest_running_agent_pod_counts() -> None:
    def pod(made: str, address: str, phase: str = "Running") -> dict[str, Any]:
        return {
            "metadata": {"creationTimestamp": made},
            "spec": {"nodeName": "n1"},
            "status": {"podIP": address, "phase": phase},
        }

    pods = [pod("2", "10.0.0.2"), pod("1", "10.0.0.1"), pod("3", "10.0.0.3", "Pending")]

    assert agent_address(pods, "n1") == "10.0.0.2:9443"
    assert agent_address([pod("1", "fd00::1")], "n1") == "[fd00::1]:9443"
    assert agent_address(pods, "n2") == ""


async def test_a_repeated_event_is_counted_and_written_at_most_every_ten_minutes() -> None:
    kube = FakeKube()
    events = EventLog(kube)
    said = Announcement("Normal", "Started", "running on n1")

    for second in range(0, int(QUIET_SECONDS) + 1, 60):
        await events.post(Key("ns", "app"), "u1", said, at="T", now=float(second))

    assert [verb for verb, _, _ in kube.writes] == ["create", "patch"]
    assert kube.all(EVENT)[0]["count"] == 11
