"""The plan: cut after any step by a crash of the controller.

The world still ends where it would have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from controller.model import (
    POD,
    SC,
    SCI,
    Agent,
    AgentStatus,
    ContainerState,
    Instance,
    Observed,
    Pod,
)
from controller.observe import read_parent
from controller.plan import plan
from controller.steps import EnsureRoot
from controller.template import digest
from tests.controller.world import APP, PROVIDER, World

Scene = Callable[[World], None]


class Crash(Exception):
    """The controller's process ends here."""


def create(world: World) -> None:
    world.create()


def stop(world: World) -> None:
    world.run(False)


def start(world: World) -> None:
    world.run(True)


def delete(world: World) -> None:
    world.kube.remove(SC, APP)


def delete_instance(world: World) -> None:
    world.kube.remove(SCI, APP)


def delete_provider(world: World) -> None:
    world.kube.remove(POD, PROVIDER)


def end_state(world: World) -> Any:
    status = (world.get(SC, APP) or {}).get("status") or {}
    conditions = [
        (one["type"], one["status"], one["reason"]) for one in status.get("conditions", [])
    ]
    alive = sorted(key.name for kind, key in world.kube.objects if kind in {SC, SCI, POD})
    return status.get("phase"), conditions, alive, len(world.births())


async def play(before: list[Scene], act: Scene, cut: int | None) -> tuple[Any, int]:
    """The end state, and how many outside calls it took; the call after `cut` never returns."""
    world = World()
    for scene in before:
        scene(world)
        await world.settle()
    calls = 0
    crashed = False

    async def count(call: str) -> None:
        nonlocal calls, crashed
        if call in {"get", "list"} or crashed:
            return
        calls += 1
        if cut is not None and calls > cut:
            crashed = True
            raise Crash

    world.kube.before = world.agents.before = count
    act(world)
    while True:
        try:
            await world.settle()
        except Crash:
            await world.restart_controller()
        else:
            return end_state(world), calls


@pytest.mark.parametrize(
    ("before", "act"),
    [
        ([], create),
        ([create], stop),
        ([create, stop], start),
        ([create], delete),
        ([create, stop], delete),
        ([create], delete_instance),
        ([create, stop], delete_instance),
        ([create], delete_provider),
    ],
    ids=lambda value: value.__name__ if callable(value) else "-".join(f.__name__ for f in value),
)
async def test_cut_after_any_step_the_end_is_the_same(before: list[Scene], act: Scene) -> None:
    expected, calls = await play(before, act, None)

    assert calls >= 1
    for cut in range(calls):
        found, _ = await play(before, act, cut)
        assert found == expected, f"cut after {cut} of {calls} calls"


def test_nothing_is_planned_for_nothing() -> None:
    assert plan(Observed()) == ()


def test_no_root_is_made_from_an_image_that_the_template_no_longer_names() -> None:
    """The root would carry the new image's name and the old one's files."""
    world = World()
    world.create()
    seen = Observed(
        parent=read_parent(world.get(SC, APP) or {}),
        instance=Instance("i1", True, False, {"node": "n1"}, {}, 1),
        home="n1",
        home_exists=True,
        agent=Agent("n1", connected=True, status=AgentStatus(True, "Ready", "")),
    )
    assert seen.parent is not None
    assert seen.parent.template is not None
    made_for = digest(seen.parent.template)
    up = ContainerState(running=True, image_id="sha256:1", ever_started=True)
    image = seen.parent.template.image
    provider = Pod(
        "app-provider", "p1", True, False, False, "n1", "Running", "", "", True, False, "",
        "Always", image, made_for, up,
    )  # fmt: skip

    wanted = plan(replace(seen, provider=provider))
    outdated = plan(replace(seen, provider=replace(provider, image="other:1")))

    assert any(isinstance(step, EnsureRoot) for step in wanted)
    assert not any(isinstance(step, EnsureRoot) for step in outdated)


def test_the_world_plays_in_any_loop() -> None:
    asyncio.run(play([], create, None))
