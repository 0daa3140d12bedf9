"""Whatever users, nodes and accidents do in whatever order.

It converges, on the same data, with one holder at most.
"""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.model import POD, SCI, Key
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
)


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


async def story(acts: list[tuple[str, float]], *, end_running: bool) -> None:
    world = World()
    world.create()
    await world.settle()
    births = world.births()
    for what, wait in acts:
        await act(world, what)
        await world.settle(wait)
        assert len(world.births()) == 1, "a second root was made"
        agent = world.agents.agents["n1"]
        if world.status()["phase"] == "Running" and agent.up:
            assert len(agent.processes) == 1
    for node in list(world.dead_nodes):
        world.node_up(node)
    for name in world.agents.agents:
        world.agents.back(name)
    world.end_survivors()
    world.run(end_running)
    await world.settle(300)

    assert world.status()["phase"] == ("Running" if end_running else "Stopped"), world.status()
    assert (world.get(POD, APP) is not None) is end_running
    assert world.get(POD, PROVIDER) is not None
    assert world.births() == births
    assert world.kube.objects[SCI, APP]["spec"]["node"] == "n1"
    assert Key("default", "app") == APP


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    acts=st.lists(st.tuples(st.sampled_from(ACTS), st.sampled_from([0.0, 0.05, 40.0])), max_size=8),
    end_running=st.booleans(),
)
def test_any_sequence_converges_on_the_same_data(
    acts: list[tuple[str, float]], end_running: bool
) -> None:
    asyncio.run(story(acts, end_running=end_running))
