"""Requests that are not granted, or not given back, and what becomes of the pod; on the fakes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from controller.model import POD, Body
from tests.controller.sized import FULL, SMALL, asked, lost_answers, resizes, sized_world
from tests.controller.warm import last, pod_uid, start, stop
from tests.controller.world import APP

if TYPE_CHECKING:
    from tests.controller.world import World


def deny_growth(world: World) -> None:
    """The node is too small by now, or a quota is."""

    def deny(kind: object, body: Body) -> str:
        if kind != POD or body["spec"]["containers"][0].get("resources", {}) == {}:
            return ""
        small = body["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "1m"
        return "" if small else 'pods "app" is forbidden: exceeded quota'

    world.kube.deny = deny


async def test_a_growth_that_the_api_server_was_too_busy_for_is_no_refusal() -> None:
    world = await sized_world()
    await stop(world)
    world.kube.before = lost_answers

    await start(world)

    assert world.condition("PodKept") == ("True", "Supervised")
    world.kube.before = None
    await world.settle()
    assert asked(world)["requests"] == FULL


async def test_a_growth_that_the_api_server_forbids_leaves_the_command_running() -> None:
    world = await sized_world()
    await stop(world)
    uid = pod_uid(world)
    deny_growth(world)

    await start(world)

    assert world.condition("Ready") == ("True", "Running")
    assert world.condition("PodKept") == ("False", "RequestsRefused")
    assert "exceeded quota" in world.message("PodKept")
    assert asked(world)["requests"] == SMALL
    assert "RequestsRefused" in world.events()
    # Tried again, at most twice a minute.
    assert resizes(world) < 10
    world.kube.deny = lambda _kind, _body: ""
    await world.settle()
    assert world.condition("PodKept") == ("True", "Supervised")
    assert (asked(world)["requests"], pod_uid(world)) == (FULL, uid)


@pytest.mark.parametrize("reason", ["Deferred", "Infeasible"])
async def test_a_growth_that_kubelet_refuses_makes_the_next_start_cold(reason: str) -> None:
    world = await sized_world()
    await stop(world)
    uid = pod_uid(world)
    world.kubelets.no_room = reason

    await start(world)
    assert world.condition("Ready") == ("True", "Running")
    assert world.condition("PodKept") == ("False", "RequestsRefused")
    assert f"{reason}: Node didn't have enough" in world.message("PodKept")
    assert pod_uid(world) == uid
    await stop(world)
    assert world.get(POD, APP) is None
    assert last(world, "Stop") == ("Cold", "RequestsRefused")
    await start(world)

    assert last(world, "Start") == ("Cold", "RequestsRefused")
    assert asked(world)["requests"] == FULL
    assert world.condition("PodKept") == ("True", "Supervised")


async def test_a_growth_that_is_granted_later_keeps_the_pod_after_all() -> None:
    world = await sized_world()
    await stop(world)
    world.kubelets.no_room = "Deferred"
    await start(world)
    assert world.condition("PodKept") == ("False", "RequestsRefused")

    world.kubelets.no_room = ""
    await world.settle()
    assert world.condition("PodKept") == ("True", "Supervised")
    uid = pod_uid(world)
    await stop(world)

    assert pod_uid(world) == uid
    assert last(world, "Stop") == ("Warm", "")


async def test_a_pod_at_rest_does_not_mind_that_its_own_resize_waits() -> None:
    world = await sized_world()
    await stop(world)
    pending = {
        "type": "PodResizePending",
        "status": "True",
        "reason": "Infeasible",
        "observedGeneration": world.kube.objects[POD, APP]["metadata"]["generation"],
    }
    world.kubelets.dead.add("n1")
    conditions = [*world.kube.objects[POD, APP]["status"]["conditions"], pending]
    world.kube.change(POD, APP, {"status": {"conditions": conditions}})
    await world.settle()
    assert world.condition("PodKept") == ("True", "Stopped")

    # Kubelet has not looked at the growth yet: its words are about the shrinking.
    await start(world)

    assert world.condition("PodKept") == ("True", "Supervised")


async def test_a_shrinking_that_is_denied_costs_nothing_but_the_room() -> None:
    world = await sized_world()
    world.kube.deny = lambda _kind, _body: "a LimitRange wants more"

    await stop(world)
    assert world.condition("PodKept") == ("True", "Stopped")
    assert resizes(world) < 10
    await start(world)

    assert asked(world)["requests"] == FULL
    assert world.condition("PodKept") == ("True", "Supervised")


async def test_a_cluster_without_in_place_resize_is_rarely_asked() -> None:
    world = await sized_world()
    world.kube.unserved.add("resize")

    await stop(world)

    assert resizes(world) <= 3
    assert world.condition("PodKept") == ("True", "Stopped")
    await start(world)
    assert world.condition("Ready") == ("True", "Running")
    assert world.condition("PodKept") == ("True", "Supervised")
