"""When and in which order status is written."""

from __future__ import annotations

import pytest

from controller.errors import NotYet
from controller.model import SC, SCI, Body, Kind
from tests.controller.world import APP, World
from tests.crds.test_schema import refusals


@pytest.fixture
async def stopped() -> World:
    world = World()
    world.create(running=False)
    await world.settle()
    assert world.status()["phase"] == "Stopped", world.status()
    return world


async def test_people_see_the_end_of_a_start_before_anything_else_is_written(
    stopped: World,
) -> None:
    """The parent's status is what they wait for; nothing comes between it and the facts."""
    before = len(stopped.kube.writes)
    stopped.run(True)
    await stopped.settle()

    assert [one for one in stopped.kube.writes[before:] if one[1] != "Event"] == [
        ("create", "Pod", "app"),
        ("apply status", "StoppableContainer", "app"),
        ("apply", "StoppableContainerInstance", "app"),
        ("apply status", "StoppableContainerInstance", "app"),
    ]


async def test_an_instance_that_cannot_be_written_holds_nobody_up(stopped: World) -> None:
    apply, refusals = stopped.kube.apply, 1

    async def refuse(kind: Kind, body: Body, *, subresource: str = "", force: bool = True) -> Body:
        nonlocal refusals
        if kind == SCI and subresource and refusals:
            refusals -= 1
            raise NotYet("the API server restarts")
        return await apply(kind, body, subresource=subresource, force=force)

    stopped.kube.apply = refuse  # type: ignore[method-assign]
    stopped.run(True)
    with pytest.raises(NotYet):
        await stopped.settle()

    first = stopped.status()["lastStart"]
    assert stopped.status()["phase"] == "Running"
    stopped.dirty.add(APP)
    await stopped.settle()
    assert stopped.status()["lastStart"] == first
    assert stopped.kube.objects[SCI, APP]["status"]["lastStart"] == first


async def test_the_schema_takes_every_field_of_a_status(stopped: World) -> None:
    stopped.run(True)
    await stopped.settle()
    stopped.run(False)
    await stopped.settle()

    for kind in (SC, SCI):
        known = stopped.kube.objects[kind, APP]
        whole = {"apiVersion": kind.api_version, "kind": kind.kind, **known}
        assert {"lastStart", "lastStop"} <= known["status"].keys()
        assert refusals(whole) == []
