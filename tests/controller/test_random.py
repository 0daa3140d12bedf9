"""Whatever users, nodes and accidents do in whatever order.

It converges, on the same data, with one holder at most.
"""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.errors import NotYet
from controller.model import POD, SC, SCI, Key, Process
from tests.controller.world import APP, PROVIDER, World

ACTS = (
    "start",
    "stop",
    "delete instance",
    "delete provider",
    "delete consumer",
    "agent down",
    "agent up",
    "node down",
    "node up",
    "force delete, processes survive",
    "survivors end",
    "controller restarts",
    "stop cold",
    "stop warm",
    "stop by freezing",
    "agent refuses processes",
    "agent takes processes",
    "node is full",
    "node has room",
)
REQUESTS = {"cpu": "100m", "memory": "64Mi"}
MODES = {"stop cold": "Cold", "stop warm": "Warm", "stop by freezing": "Freeze"}


async def act(world: World, what: str) -> None:
    consumer, provider = world.get(POD, APP), world.get(POD, PROVIDER)
    node = world.status()["node"]
    match what:
        case "start" | "stop":
            world.run(what == "start")
        case "delete instance" if world.get(SCI, APP):
            world.kube.remove(SCI, APP)
        case "delete provider" if provider:
            world.kube.remove(POD, PROVIDER)
        case "delete consumer" if consumer:
            world.kube.remove(POD, APP)
        case "agent down":
            world.agents.down(node)
        case "agent up" if node not in world.dead_nodes:
            world.agents.back(node)
        case "node down":
            world.node_down(node)
        case "node up" if node in world.dead_nodes:
            world.node_up(node)
        case "force delete, processes survive" if consumer:
            world.force_delete(APP, survive=True)
        case "survivors end":
            world.end_survivors()
        case "controller restarts":
            await world.restart_controller()
        case "stop cold" | "stop warm" | "stop by freezing":
            world.kube.change(SC, APP, {"spec": {"stopMode": MODES[what], "running": False}})
        case "agent refuses processes":
            silent = NotYet("its gate has not connected yet")
            world.agents.agents[node].refuse |= {"start_process": silent, "stop_process": silent}
        case "agent takes processes":
            world.agents.agents[node].refuse.clear()
        case "node is full" | "node has room":
            world.kubelets.no_room = "Deferred" if what == "node is full" else ""


async def story(acts: list[tuple[str, float]], *, end_running: bool) -> None:
    world = World()
    container = {"image": "busybox:1", "resources": {"requests": REQUESTS}}
    world.create(template={"container": container})
    await world.settle()
    births = world.births()
    for what, wait in acts:
        await act(world, what)
        await world.settle(wait)
        assert len(world.births()) == 1, "a second root was made"
        agent = world.agents.agents["n1"]
        (root,) = agent.roots.values()
        if world.status()["phase"] == "Running" and agent.up:
            assert len(agent.processes) == 1
            assert root.process in {Process.NONE, Process.RUNNING}
        if world.status()["phase"] == "Stopped" and agent.up:
            assert not agent.processes or root.process in {Process.STOPPED, Process.FROZEN}
    for node in list(world.dead_nodes):
        world.node_up(node)
    for name in world.agents.agents:
        world.agents.agents[name].refuse.clear()
        world.agents.back(name)
    world.end_survivors()
    world.kubelets.no_room = ""
    world.run(end_running)
    await world.settle(300)

    assert world.status()["phase"] == ("Running" if end_running else "Stopped"), world.status()
    assert (world.get(POD, APP) is not None) is end_running or is_kept(world)
    if end_running:
        pod = world.kube.objects[POD, APP]
        assert pod["spec"]["containers"][0]["resources"]["requests"] == REQUESTS
        assert pod["status"]["containerStatuses"][0]["allocatedResources"] == REQUESTS
    assert world.get(POD, PROVIDER) is not None
    assert world.births() == births
    assert world.kube.objects[SCI, APP]["spec"]["node"] == "n1"
    assert Key("default", "app") == APP


def is_kept(world: World) -> bool:
    """Whether the command is stopped, or frozen, in a pod that stays."""
    (root,) = world.agents.agents["n1"].roots.values()
    return root.process in {Process.STOPPED, Process.FROZEN} and root.synced


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    acts=st.lists(st.tuples(st.sampled_from(ACTS), st.sampled_from([0.0, 0.05, 40.0])), max_size=8),
    end_running=st.booleans(),
)
def test_any_sequence_converges_on_the_same_data(
    acts: list[tuple[str, float]], end_running: bool
) -> None:
    asyncio.run(story(acts, end_running=end_running))
