"""Many starts at once: what nobody waits for is written when they are up."""

from __future__ import annotations

from controller.crowd import AGAIN_SECONDS, CROWD, LONGEST_SECONDS, OWN_SECONDS, Crowd
from controller.model import SCI, Key
from tests.controller.world import APP, NAMESPACE, World

NAMES = [f"app-{number}" for number in range(CROWD + 4)]


async def stopped() -> World:
    world = World()
    for name in NAMES:
        world.create(running=False, name=name)
    await world.settle()
    return world


async def test_instances_of_a_crowd_are_written_when_the_crowd_is_up() -> None:
    world = await stopped()
    before = len(world.kube.writes)

    for name in NAMES:
        world.run(True, name)
    await world.settle()

    writes = world.kube.writes[before:]
    kinds = [kind for _, kind, _ in writes if kind != "Event"]
    last_pod = max(at for at, kind in enumerate(kinds) if kind == "Pod")
    assert "StoppableContainerInstance" not in kinds[:last_pod]
    for name in NAMES:
        key = Key(NAMESPACE, name)
        assert world.kube.objects[SCI, key]["spec"]["running"] is True
        assert world.status(key)["phase"] == "Running"
        instance = world.kube.objects[SCI, key]["status"]
        assert instance["phase"] == "Running"


def test_nobody_is_put_off_for_longer_than_the_longest() -> None:
    crowd = Crowd()
    for second in range(int(LONGEST_SECONDS)):
        for name in NAMES:
            crowd.begins(Key("d", name), float(second))
        assert crowd.wait(Key("d", "app"), float(second)) == AGAIN_SECONDS
    assert crowd.wait(Key("d", "app"), LONGEST_SECONDS) == 0


def test_what_takes_long_is_no_crowd() -> None:
    crowd = Crowd()
    for name in NAMES:
        crowd.begins(Key("d", name), 0.0)
    assert crowd.wait(Key("d", "app"), 1.0)
    assert not crowd.wait(Key("d", "app"), LONGEST_SECONDS)


def test_a_few_at_once_are_no_crowd_and_the_last_of_a_crowd_are_one() -> None:
    crowd = Crowd()
    for name in NAMES[:CROWD]:
        crowd.begins(Key("d", name), 0.0)
    assert not crowd.wait(Key("d", "app"), 1.0)
    crowd.begins(Key("d", NAMES[CROWD]), 0.0)
    assert crowd.wait(Key("d", "app"), 1.0)
    for name in NAMES[:CROWD]:
        crowd.ends(Key("d", name))
    assert crowd.wait(Key("d", "app"), 1.0)
    crowd.ends(Key("d", NAMES[CROWD]))
    assert not crowd.wait(Key("d", "app"), 1.0)


def test_a_new_object_of_the_name_waits_as_if_there_had_been_none() -> None:
    crowd = Crowd()
    for name in NAMES:
        crowd.begins(Key("d", name), 5.0)
    assert crowd.wait(Key("d", NAMES[0]), 5.0)
    crowd.forget(Key("d", NAMES[0]))
    assert crowd.wait(Key("d", NAMES[0]), 14.0)
    # Since 14, not since 5.
    for name in NAMES:
        crowd.begins(Key("d", name), 14.0)
    assert crowd.wait(Key("d", NAMES[0]), 16.0)


async def test_a_start_that_takes_long_does_not_put_its_instance_off_for_ever() -> None:
    world = World()
    world.create(running=False)
    await world.settle()
    # Their kubelets take no pod any more; the agents go on.
    world.dead_nodes |= {"n1", "n2"}
    world.run(True)
    await world.settle(OWN_SECONDS / 2)
    assert world.kube.objects[SCI, APP]["spec"]["running"] is False
    await world.settle(2 * OWN_SECONDS)

    assert world.status()["phase"] != "Running"
    assert world.kube.objects[SCI, APP]["spec"]["running"] is True
