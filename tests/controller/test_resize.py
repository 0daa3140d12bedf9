"""A kept pod gives its requests back while its command is stopped, on the fakes."""

from __future__ import annotations

import pytest

from controller.model import SC, SCI, Body
from tests.controller.sized import (
    FULL,
    LIMITS,
    RESIZE,
    SMALL,
    asked,
    lost_answers,
    resizes,
    sized_world,
)
from tests.controller.warm import pod_uid, start, stop, warm
from tests.controller.world import APP


@pytest.mark.parametrize(("mode", "small"), [("Warm", SMALL), ("Freeze", FULL | {"cpu": "1m"})])
async def test_a_pod_at_rest_asks_for_little_and_a_running_command_for_all(
    mode: str, small: Body
) -> None:
    world = await sized_world(mode)
    uid = pod_uid(world)

    await stop(world)
    assert asked(world) == {"requests": small, "limits": LIMITS}
    assert world.status()["phase"] == "Stopped"
    await start(world)

    assert asked(world) == {"requests": FULL, "limits": LIMITS}
    assert (pod_uid(world), resizes(world)) == (uid, 2)
    assert world.condition("PodKept") == ("True", "Supervised")


async def test_a_stop_and_start_within_some_seconds_change_no_requests() -> None:
    world = await sized_world()
    for _ in range(2):
        before = len(world.kube.writes)
        world.run(False)
        await world.settle(4.9)
        assert world.status()["phase"] == "Stopped"
        world.run(True)
        await world.settle()

    assert len(world.kube.writes) - before == 8
    assert resizes(world) == 0


async def test_requests_come_and_go_after_people_were_told() -> None:
    world = await sized_world()
    before = len(world.kube.writes)

    await stop(world)
    await start(world)

    verbs = [(verb, kind) for verb, kind, _ in world.kube.writes[before:] if verb != "create"]
    told, shown = ("patch status", "Pod"), ("apply status", "StoppableContainer")
    mirrored = [
        ("apply", "StoppableContainerInstance"),
        ("apply status", "StoppableContainerInstance"),
    ]
    turn = [told, shown, *mirrored, RESIZE[:2]]
    assert verbs == turn * 2


async def test_a_start_right_before_the_resize_is_not_kept_waiting() -> None:
    world = await sized_world()
    world.run(False)
    await world.settle(4.9)
    calls: list[str] = []

    async def record(call: str) -> None:
        calls.append(call)

    world.kube.before = world.agents.before = record
    world.time += 1
    world.run(True)
    await world.settle()

    assert calls[0] == "start_process"
    assert resizes(world) == 0


async def test_a_start_while_the_last_of_the_stop_is_written_goes_before_the_resize() -> None:
    world = await sized_world()
    world.run(False)
    await world.settle(4.9)
    calls: list[str] = []

    async def begin(call: str) -> None:
        if call == "apply status" and not calls:
            world.run(True)
            world._pump()
        calls.append(call)

    world.kube.before = world.agents.before = begin
    world.kube.change(SCI, APP, {"status": {"message": "written by somebody"}})
    world.time += 1
    await world.settle()

    assert calls[:2] == ["apply status", "start_process"]
    assert resizes(world) == 0


async def test_a_restarted_controller_still_gives_back_and_asks_again() -> None:
    world = await sized_world()
    world.run(False)
    await world.settle(2)
    await world.restart_controller()
    await world.settle()
    assert asked(world)["requests"] == SMALL

    world.kube.before = lost_answers
    world.run(True)
    await world.settle(0.5)
    assert world.status()["phase"] == "Running"
    assert asked(world)["requests"] == SMALL
    await world.restart_controller()
    world.kube.before = None
    await world.settle()

    assert asked(world)["requests"] == FULL


@pytest.mark.parametrize(
    ("container", "says"),
    [
        ({"resources": {"limits": LIMITS}}, "a Guaranteed pod keeps its requests"),
        (
            {
                "resizePolicy": [
                    {"resourceName": one, "restartPolicy": "RestartContainer"} for one in SMALL
                ]
            },
            "resizePolicy RestartContainer",
        ),
    ],
)
async def test_what_cannot_be_given_back_says_so(container: Body, says: str) -> None:
    world = await sized_world(**container)
    before = asked(world)

    await stop(world)

    assert (asked(world), resizes(world)) == (before, 0)
    assert world.message("PodKept").endswith(says)


async def test_a_pod_without_requests_has_nothing_to_give_back() -> None:
    world = await warm()

    await stop(world)

    assert resizes(world) == 0
    assert "requests" not in world.message("PodKept")


async def test_another_template_does_not_leave_a_running_command_small() -> None:
    world = await sized_world()
    await stop(world)
    world.kube.before = lost_answers
    world.run(True)
    await world.settle(0.5)

    changed = {"container": {"env": [{"name": "NEW", "value": "1"}]}}
    world.kube.change(SC, APP, {"spec": {"template": changed}})
    world.kube.before = None
    await world.settle()

    assert world.condition("UpdatePending") == ("True", "TemplateChanged")
    assert asked(world)["requests"] == FULL
