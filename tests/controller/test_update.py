"""What ends by itself and what the user changes, on the fakes."""

from __future__ import annotations

import pytest

from controller import names
from controller.model import POD, SC, SCI
from tests.controller.test_finished import ended
from tests.controller.world import APP, World


@pytest.fixture
async def running() -> World:
    world = World()
    world.create()
    await world.settle()
    return world


@pytest.mark.parametrize(("code", "reason"), [(0, "Completed"), (3, "Failed")])
async def test_a_command_that_ended_is_not_run_again_behind_the_users_back(
    code: int, reason: str
) -> None:
    world = World()
    pod = {"containers": [{"name": "main", "image": "busybox:1"}], "restartPolicy": "Never"}
    world.create(template={"spec": pod})
    await world.settle()
    uid = world.kube.objects[POD, APP]["metadata"]["uid"]
    world.agents.stop("n1", uid)
    world.kube.change(POD, APP, ended(code))

    await world.settle()

    assert world.kube.objects[POD, APP]["metadata"]["uid"] == uid
    assert world.condition("ConsumerReady") == ("False", reason)
    world.run(False)
    await world.settle()
    world.run(True)
    await world.settle()
    assert world.status()["phase"] == "Running"


async def test_a_changed_template_applies_at_the_next_start(running: World) -> None:
    uid = running.kube.objects[POD, APP]["metadata"]["uid"]
    spec = {"template": {"container": {"command": ["sleep", "7"]}}}
    running.kube.change(SC, APP, {"spec": spec})

    await running.settle()

    assert running.kube.objects[POD, APP]["metadata"]["uid"] == uid
    assert running.condition("UpdatePending") == ("True", "TemplateChanged")
    mirrored = running.kube.objects[SCI, APP]["spec"]["template"]["container"]
    assert mirrored["command"] == ["sleep", "7"]
    running.run(False)
    await running.settle()
    running.run(True)
    await running.settle()
    assert running.condition("UpdatePending") == ("False", "UpToDate")
    command = running.kube.objects[POD, APP]["spec"]["containers"][0]["command"]
    assert command == [names.GUARD, "sleep", "7"]


async def test_a_changed_image_is_reported_and_the_root_keeps_its_own(running: World) -> None:
    births = running.births()
    running.run(False)
    await running.settle()
    running.kube.change(SC, APP, {"spec": {"template": {"container": {"image": "busybox:9"}}}})
    running.run(True)

    await running.settle()

    assert running.condition("UpdatePending") == ("True", "ImageChanged")
    assert running.kube.objects[POD, APP]["spec"]["containers"][0]["image"] == "busybox:1"
    assert running.births() == births


async def test_the_data_of_an_older_object_of_the_name_is_never_used(running: World) -> None:
    births = running.births()
    metadata = running.kube.objects[SC, APP]["metadata"]
    metadata["finalizers"] = []
    running.kube.forget(SC, APP)
    running.create()

    await running.settle()

    assert running.status()["phase"] == "Running"
    root = running.kube.objects[POD, APP]["metadata"]["annotations"][names.ROOT_ANNOTATION]
    assert root == running.kube.objects[SC, APP]["metadata"]["uid"]
    assert len(running.births()) == 2
    assert set(births) < set(running.births())
