"""What an earlier implementation of this API left in the cluster: no data lost, nothing stuck."""

from __future__ import annotations

import pytest

from controller import names
from controller.model import POD, SC, SCI
from tests.controller.world import APP, PROVIDER, World


async def old_world(*, running: bool = True) -> World:
    """An object, its instance and both of its pods as the other controller made them."""
    world = World()
    world.create(running=running)
    parent = world.kube.objects[SC, APP]
    owner = {"apiVersion": names.API_VERSION, "name": "app", "controller": True}
    instance = world.kube.make(
        SCI,
        {
            "metadata": {
                "name": "app",
                "namespace": "default",
                "finalizers": [names.LEGACY_INSTANCE_FINALIZER],
                "ownerReferences": [
                    owner | {"kind": "StoppableContainer", "uid": parent["metadata"]["uid"]}
                ],
            },
            "spec": {"stoppableContainerName": "app", "running": running},
        },
    )
    for key, role in ((PROVIDER, "provider"), (APP, "consumer")):
        world.kube.make(
            POD,
            {
                "metadata": {
                    "name": key.name,
                    "namespace": "default",
                    "labels": {
                        names.MANAGED_BY_LABEL: names.MANAGED_BY,
                        names.INSTANCE_LABEL: "app",
                        names.ROLE_LABEL: role,
                    },
                    "ownerReferences": [
                        owner
                        | {
                            "kind": "StoppableContainerInstance",
                            "uid": instance["metadata"]["uid"],
                        }
                    ],
                },
                "spec": {"containers": [{"name": role, "image": "alpine"}], "nodeName": "n1"},
                "status": {"phase": "Running", "containerStatuses": [{"name": role}]},
            },
        )
    return world


@pytest.mark.parametrize("running", [True, False])
async def test_pods_with_the_data_in_them_are_never_deleted(running: bool) -> None:
    world = await old_world(running=running)
    pods = [world.kube.objects[POD, key]["metadata"]["uid"] for key in (APP, PROVIDER)]
    await world.settle()

    assert [world.kube.objects[POD, key]["metadata"]["uid"] for key in (APP, PROVIDER)] == pods
    assert world.status()["phase"] == "Error"
    assert world.condition("ConsumerReady") == ("False", "NameTaken")
    assert "docs/migrating.md" in world.message("ConsumerReady")


async def test_it_goes_on_with_the_objects_when_the_pods_are_gone() -> None:
    world = await old_world()
    instance = world.kube.objects[SCI, APP]["metadata"]["uid"]
    await world.settle()
    for key in (APP, PROVIDER):
        world.kube.forget(POD, key)
    await world.settle()

    assert world.status()["phase"] == "Running"
    assert world.kube.objects[SCI, APP]["metadata"]["uid"] == instance


async def test_the_old_finalizer_keeps_nothing_from_being_deleted() -> None:
    world = await old_world()
    for key in (APP, PROVIDER):
        world.kube.forget(POD, key)
    await world.settle()
    world.kube.remove(SC, APP)
    await world.settle()

    assert world.get(SC, APP) is None
    assert world.get(SCI, APP) is None
