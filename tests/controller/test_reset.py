"""Another image in the template, with every policy: never other layers under an existing root."""

from __future__ import annotations

from typing import Any

import pytest

from controller.model import POD, SC, Key
from tests.controller.world import APP, PROVIDER, World

NEW: dict[str, Any] = {"template": {"container": {"image": "busybox:9"}}}
OLD: dict[str, Any] = {"template": {"container": {"image": "busybox:1"}}}


async def started(**spec: Any) -> World:
    world = World()
    world.create(**spec)
    await world.settle()
    assert world.status()["phase"] == "Running", world.status()
    return world


def change(world: World, spec: dict[str, Any]) -> None:
    world.kube.change(SC, APP, {"spec": spec})


async def restart(world: World) -> None:
    world.run(False)
    await world.settle()
    world.run(True)
    await world.settle()


def roots(world: World) -> dict[str, str]:
    """The images of the roots on n1, by the end of their ids."""
    found = world.agents.agents["n1"].roots.values()
    uid = world.kube.objects[SC, APP]["metadata"]["uid"]
    return {root.uid.removeprefix(uid): root.image for root in found}


def image(world: World, key: Key) -> str:
    return str(world.kube.objects[POD, key]["spec"]["containers"][0]["image"])


async def test_keep_says_what_the_root_is_on_and_what_was_asked_for() -> None:
    world = await started()
    change(world, NEW)
    await restart(world)

    assert roots(world) == {"": "busybox:1"}
    assert world.condition("UpdatePending") == ("True", "ImageChanged")
    said = world.message("UpdatePending")
    assert "busybox:1 (sha256:" in said
    assert "busybox:9" in said
    assert image(world, APP) == image(world, PROVIDER) == "busybox:1"


async def test_reset_makes_a_new_root_at_the_next_start_and_drops_the_old_one_then() -> None:
    world = await started(imageChangePolicy="Reset")
    births = world.births()
    change(world, NEW)
    await world.settle()

    assert roots(world) == {"": "busybox:1"}
    assert world.status()["phase"] == "Running"
    assert world.condition("UpdatePending") == ("True", "ImageReset")
    assert image(world, PROVIDER) == "busybox:9"

    await restart(world)

    assert world.status()["phase"] == "Running"
    assert roots(world) == {"-r1": "busybox:9"}
    assert image(world, APP) == "busybox:9"
    assert world.births() != births
    assert world.status()["hostPath"].endswith("-r1/rootfs")
    assert world.condition("UpdatePending") == ("False", "UpToDate")
    assert "OldRootDeleted" in world.events()


async def test_nothing_is_made_while_stopped_and_changing_back_keeps_the_data() -> None:
    world = await started(imageChangePolicy="Reset")
    births = world.births()
    world.run(False)
    await world.settle()
    change(world, NEW)
    await world.settle()

    assert world.status()["phase"] == "Stopped"
    assert roots(world) == {"": "busybox:1"}
    change(world, OLD)
    world.run(True)
    await world.settle()
    assert world.births() == births
    assert image(world, APP) == image(world, PROVIDER) == "busybox:1"


async def test_an_image_that_cannot_be_pulled_costs_nothing_and_heals() -> None:
    world = await started(imageChangePolicy="Reset")
    births = world.births()
    world.bad_images.add("busybox:9")
    change(world, NEW)
    await restart(world)

    assert world.status()["phase"] == "Error"
    assert world.condition("ImagePinned") == ("False", "ImagePullFailed")
    assert world.births() == births
    change(world, OLD)
    await world.settle()
    assert world.status()["phase"] == "Running"
    assert world.births() == births


async def test_the_old_root_stays_until_the_new_one_has_started() -> None:
    world = await started(imageChangePolicy="Reset")
    births = world.births()
    world.run(False)
    await world.settle()
    change(world, NEW)
    world.kubelets.never_ready.add("busybox:9")
    world.run(True)
    await world.settle()

    assert roots(world) == {"": "busybox:1", "-r1": "busybox:9"}
    change(world, OLD)
    await restart(world)
    assert roots(world) == {"": "busybox:1"}
    assert world.births() == births


async def test_restart_policy_brings_the_image_first_and_restarts_then() -> None:
    world = await started(imageChangePolicy="Reset", updatePolicy="Restart")
    uid = world.kube.objects[POD, APP]["metadata"]["uid"]
    world.bad_images.add("busybox:9")
    change(world, NEW)
    await world.settle()

    assert world.kube.objects[POD, APP]["metadata"]["uid"] == uid
    assert world.status()["phase"] == "Running"
    world.bad_images.clear()
    await world.settle()
    assert world.status()["phase"] == "Running"
    assert roots(world) == {"-r1": "busybox:9"}


async def test_restart_policy_applies_a_changed_template_at_once() -> None:
    world = await started(updatePolicy="Restart")
    births = world.births()
    uid = world.kube.objects[POD, APP]["metadata"]["uid"]
    change(world, {"template": {"container": {"command": ["sleep", "7"]}}})
    await world.settle()

    pod = world.kube.objects[POD, APP]
    assert pod["metadata"]["uid"] != uid
    assert pod["spec"]["containers"][0]["command"][1:] == ["sleep", "7"]
    assert world.births() == births
    assert world.condition("UpdatePending") == ("False", "UpToDate")


async def test_two_resets_and_a_deletion_leave_nothing() -> None:
    world = await started(imageChangePolicy="Reset")
    for name in ("busybox:8", "busybox:9"):
        change(world, {"template": {"container": {"image": name}}})
        await restart(world)

    assert roots(world) == {"-r2": "busybox:9"}
    world.kube.remove(SC, APP)
    await world.settle()
    assert world.get(SC, APP) is None
    assert world.births() == []


@pytest.mark.parametrize("while_running", [True, False])
async def test_another_replica_finds_the_same_root(while_running: bool) -> None:
    world = await started(imageChangePolicy="Reset")
    change(world, NEW)
    await restart(world)
    if not while_running:
        world.run(False)
        await world.settle()
    births, writes = world.births(), len(world.kube.writes)
    await world.restart_controller()
    await world.settle()

    assert world.births() == births
    assert world.kube.writes[writes:] == []
