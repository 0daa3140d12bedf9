"""A container that stops within its pod, in the small world of `world`."""

from __future__ import annotations

from typing import Any

from controller.model import POD, Process
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
