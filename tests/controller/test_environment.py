"""Whether a kept pod's variables are still what its ConfigMaps and Secrets say."""

from __future__ import annotations

from typing import Any

import pytest

from controller.errors import NotYet
from controller.model import CONFIG_MAP, POD, SC, SECRET, Body, Key, Kind
from tests.controller.warm import last, pod_uid, start, stop
from tests.controller.world import APP, World

KIND = "EnvironmentCurrent"
UP_TO_DATE, CHANGED = ("True", "UpToDate"), ("False", "SourcesChanged")
ABSENT = ("", "")
SETTINGS, DB = Key("default", "settings"), Key("default", "db")
FROM_SETTINGS = {"configMapRef": {"name": "settings"}}
PASSWORD = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
READS = [("ConfigMap", "settings"), ("Secret", "db")]


def source(kind: Kind, key: Key, **data: str) -> tuple[Kind, Body]:
    return kind, {"metadata": {"name": key.name, "namespace": key.namespace}, "data": data}


async def kept(mode: str = "Warm", **container: Any) -> World:
    """One that runs, with a ConfigMap and a Secret in its environment unless others are named."""
    world = World()
    world.kube.make(*source(CONFIG_MAP, SETTINGS, COLOUR="blue"))
    world.kube.make(*source(SECRET, DB, password="MQ=="))
    found = container or {"envFrom": [FROM_SETTINGS], "env": [PASSWORD]}
    world.create(stopMode=mode, template={"container": {"image": "busybox:1", **found}})
    await world.settle()
    assert world.condition("Ready") == ("True", "Running"), world.status()
    return world


def change(world: World, kind: Kind = CONFIG_MAP, key: Key = SETTINGS, **data: str) -> None:
    world.kube.change(kind, key, {"data": data or {"COLOUR": "red"}})


@pytest.mark.parametrize("mode", ["Warm", "Freeze"])
async def test_what_nobody_changed_is_up_to_date(mode: str) -> None:
    world = await kept(mode)
    for act in (start, stop, start):
        await act(world)
        assert world.condition(KIND) == UP_TO_DATE


async def test_a_change_is_said_after_the_next_stop_and_the_start_is_warm_all_the_same() -> None:
    world = await kept()
    uid = pod_uid(world)
    change(world)
    await stop(world)

    assert world.condition(KIND) == CHANGED
    assert world.message(KIND).startswith("ConfigMap settings changed after the container was made")
    assert "set stopMode to Cold and stop, or delete the pod" in world.message(KIND)
    assert world.status()["phase"] == "Stopped"
    await start(world)
    assert (pod_uid(world), last(world, "Start")) == (uid, ("Warm", ""))
    assert world.condition(KIND) == CHANGED
    assert world.condition("Ready") == ("True", "Running")


async def test_a_pod_that_is_made_anew_is_up_to_date() -> None:
    world = await kept()
    change(world)
    await stop(world)
    world.kube.remove(POD, APP)
    await world.settle()
    assert world.condition(KIND) == ABSENT

    await start(world)

    assert world.condition(KIND) == UP_TO_DATE


async def test_a_container_that_kubelet_made_anew_is_up_to_date() -> None:
    world = await kept()
    change(world)
    await stop(world)
    await start(world)
    assert world.condition(KIND) == CHANGED

    running = {"startedAt": world.kube.now()}
    name = world.kube.objects[POD, APP]["spec"]["containers"][0]["name"]
    entries = [{"name": name, "restartCount": 1, "state": {"running": running}}]
    world.kube.change(POD, APP, {"status": {"containerStatuses": entries}})
    await world.settle()

    assert world.condition(KIND) == UP_TO_DATE


async def test_a_cycle_costs_the_same_eight_writes_and_a_change_is_written_once() -> None:
    world = await kept()
    cycles = []
    for changed in (False, False, True, False):
        if changed:
            change(world)
        before = len(world.kube.writes)
        await stop(world)
        await start(world)
        cycles.append([kind for _, kind, _ in world.kube.writes[before:] if kind != "Event"])

    assert [len(cycle) for cycle in cycles[1:]] == [8, 9, 8]
    assert cycles[2].count(SC.kind) == cycles[1].count(SC.kind) + 1


async def test_the_first_start_costs_no_write_more() -> None:
    with_sources, without = await kept(), await kept(command=["sleep"])

    assert len(with_sources.kube.writes) == len(without.kube.writes)


async def test_sources_are_read_once_after_each_stop_and_start_also_within_one_second() -> None:
    world = await kept()
    for running in (False, True, False):
        before = len(world.kube.reads)
        world.run(running)
        await world.settle(0)
        assert sorted(world.kube.reads[before:]) == READS


async def test_nothing_is_read_before_people_see_the_stop() -> None:
    world = await kept()
    order: list[str] = []

    async def record(call: str) -> None:
        order.append(call)

    world.kube.before = world.agents.before = record
    await stop(world)

    assert order.index("get") > order.index("apply status") > order.index("stop_process")


@pytest.mark.parametrize("changed", [False, True])
async def test_a_restarted_controller_looks_again_and_writes_only_news(changed: bool) -> None:
    world = await kept()
    await stop(world)
    writes, reads = len(world.kube.writes), len(world.kube.reads)
    if changed:
        change(world)

    await world.restart_controller()
    await world.settle()

    assert sorted(world.kube.reads[reads:]) == READS
    assert world.condition(KIND) == (CHANGED if changed else UP_TO_DATE)
    kinds = [kind for _, kind, _ in world.kube.writes[writes:]]
    assert kinds == (["StoppableContainer", "StoppableContainerInstance"] if changed else [])


async def test_secrets_that_may_not_be_looked_at_are_unknown_until_something_else_changed() -> None:
    world = await kept()
    world.kube.unreadable = {"Secret"}
    await stop(world)

    assert world.condition(KIND) == ("Unknown", "NotAllowed")
    assert "Secret db" in world.message(KIND)
    assert "controller.readSecretMetadata" in world.message(KIND)
    assert world.status()["phase"] == "Stopped"
    change(world)
    await start(world)
    assert world.condition(KIND) == CHANGED
    assert "Secret" not in world.message(KIND)
    assert world.condition("Ready") == ("True", "Running")


async def test_a_source_that_was_deleted_is_missing_unless_it_is_optional() -> None:
    optional = {"secretRef": {"name": "db", "optional": True}}
    world = await kept(envFrom=[FROM_SETTINGS, optional])
    world.kube.remove(SECRET, DB)
    await stop(world)
    assert world.condition(KIND) == UP_TO_DATE

    world.kube.remove(CONFIG_MAP, SETTINGS)
    await start(world)

    assert world.condition(KIND) == CHANGED
    assert world.message(KIND).startswith("ConfigMap settings was deleted after")
    assert world.message(KIND).endswith("does not come up without what was deleted")


async def test_an_optional_source_that_was_made_later_is_a_change() -> None:
    world = await kept(envFrom=[{"configMapRef": {"name": "more", "optional": True}}])
    assert world.condition(KIND) == UP_TO_DATE

    world.kube.make(*source(CONFIG_MAP, Key("default", "more"), SIZE="1"))
    await stop(world)

    assert world.condition(KIND) == CHANGED


async def test_a_source_that_is_another_one_by_now_is_a_change() -> None:
    world = await kept()
    world.kube.remove(SECRET, DB)
    world.kube.make(*source(SECRET, DB, password="MQ=="))
    await stop(world)

    assert world.message(KIND).startswith("Secret db changed after")


async def test_a_label_alone_is_no_change() -> None:
    world = await kept()
    world.kube.change(CONFIG_MAP, SETTINGS, {"metadata": {"labels": {"a": "b"}}})
    await stop(world)

    assert world.condition(KIND) == UP_TO_DATE


@pytest.mark.parametrize(
    ("mode", "container"),
    [("Cold", {}), ("Warm", {"env": [{"name": "A", "value": "b"}]})],
    ids=["a cold stop", "no sources"],
)
async def test_where_there_is_nothing_to_say_nothing_is_read(
    mode: str, container: dict[str, Any]
) -> None:
    world = await kept(mode, **container)
    await stop(world)

    assert (world.condition(KIND), world.kube.reads) == (ABSENT, [])


async def test_it_goes_with_the_mode_that_keeps_the_pod() -> None:
    world = await kept()
    world.kube.change(SC, APP, {"spec": {"stopMode": "Cold"}})
    await world.settle()
    assert world.condition(KIND) == ABSENT

    world.kube.change(SC, APP, {"spec": {"stopMode": "Warm"}})
    await world.settle()

    assert world.condition(KIND) == UP_TO_DATE


async def test_an_api_server_that_does_not_answer_is_asked_again_and_holds_nobody_up() -> None:
    world = await kept()
    change(world)
    metadata, refusals = world.kube.metadata, 3

    async def refuse(kind: Kind, key: Key) -> Body | None:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise NotYet("the API server restarts")
        return await metadata(kind, key)

    world.kube.metadata = refuse  # type: ignore[method-assign]
    await stop(world)

    assert world.status()["phase"] == "Stopped"
    assert (refusals, world.condition(KIND)) == (0, CHANGED)
