"""Every NRI moment on a fake node: who gets the root, who is left alone, who is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nodeagent.admission import parse_spec
from nodeagent.errors import Refused
from nodeagent.model import GATE_IN_CONTAINER, GUARD, Role, Timeline
from tests.nodeagent.world import UID, admission, event, wanted

if TYPE_CHECKING:
    from nodeagent.model import ContainerEvent
    from tests.nodeagent.world import World


def all_moments(world: World, of: ContainerEvent) -> None:
    world.gatekeeper.create_container(of)
    world.gatekeeper.post_create_container(of)
    world.gatekeeper.start_container(of)


def test_an_admitted_consumer_gets_the_root_and_is_its_holder(world: World) -> None:
    world.running(pid=500)
    spec = world.runtime.stored_spec("c1")
    assert spec["root"]["path"] == str(world.paths.rootfs(UID))
    assert spec["process"]["args"] == ["sleep", "9"]
    root = world.store.get(UID)
    assert root.holder is not None
    assert (root.holder.pod_uid, root.holder.pid) == ("pod-1", 500)
    assert root.holder.since_unix_ms > 0
    assert not root.synced
    world.kernel.kill(500)
    world.until(lambda: world.store.get(UID).holder is None)


def test_a_pod_s_life_has_its_times_and_the_next_pod_s_begins_anew(world: World) -> None:
    device = world.ensured()
    world.agent.admit(admission("pod-1"))
    world.kernel.spawn(400, device=1, namespace=9)
    namespaces = [{"type": "network", "path": "/proc/400/ns/net"}]
    world.runtime.create("c1", linux={"namespaces": namespaces})
    world.gatekeeper.create_container(event())
    world.gatekeeper.post_create_container(event())
    world.kernel.spawn(500, device)
    world.gatekeeper.start_container(event(pid=500))
    told: list[str | None] = []
    world.store.listen(told.append)
    world.gatekeeper.post_start_container(event(pid=500))
    assert not told
    world.gatekeeper.answered()
    assert set(told) == {UID}
    world.kernel.kill(500)
    world.until(lambda: world.store.get(UID).holder is None)
    world.agent.sync(UID)
    times = world.store.get(UID).timeline
    assert (times.pod_uid, times.sandbox, times.stopping) == ("pod-1", 400_000_000, 0)
    marks = (times.created, times.swapped, times.verified, times.running, times.stopped)
    assert marks[0] > 0
    assert sorted(marks) == list(marks)
    assert times.synced >= times.stopped
    world.agent.admit(admission("pod-2"))
    assert world.store.get(UID).timeline == Timeline("pod-2")


def test_the_image_s_command_is_used_when_the_template_has_none(world: World) -> None:
    world.ensured()
    world.agent.admit(admission(init=True, entrypoint_from_image=True, cmd_from_image=True))
    world.runtime.create("c1", [GUARD])
    world.gatekeeper.post_create_container(event())
    args = world.runtime.stored_spec("c1")["process"]["args"]
    assert args == [GATE_IN_CONTAINER, "init", "--", "/entry", "serve"]


def test_a_provider_holds_its_image_and_no_root(world: World) -> None:
    world.agent.admit(admission("prov", Role.PROVIDER))
    world.runtime.create("c1", [GUARD, "hold"])
    world.kernel.spawn(400, device=55)
    all_moments(world, event("prov", 400, Role.PROVIDER))
    spec = world.runtime.stored_spec("c1")
    assert spec["process"]["args"] == [GATE_IN_CONTAINER, "hold"]
    assert spec["root"]["path"] == "rootfs"


@pytest.mark.parametrize(
    "change",
    [
        {"pod_uid": "somebody"},
        {"container_name": "sidecar"},
        {"pod_name": "app-copy"},
        {"pod_namespace": "other"},
    ],
)
def test_everything_else_is_none_of_our_business(world: World, change: dict[str, str]) -> None:
    world.ensured()
    world.agent.admit(admission())
    world.runtime.create("c1")
    before = world.runtime.specs["c1"]
    world.kernel.spawn(500, device=55)
    world.runtime.away = True  # a foreign pod may cost no call at all
    all_moments(world, replace(event(pid=500), **change))  # type: ignore[arg-type]
    assert world.runtime.specs["c1"] == before
    assert world.store.get(UID).holder is None


def test_a_root_that_is_not_mounted_is_refused_at_every_moment(world: World) -> None:
    world.running(pid=500)
    world.kernel.kill(500)
    world.agent.release(UID)
    world.runtime.create("c2")
    world.kernel.spawn(501, device=55)
    gatekeeper, later = world.gatekeeper, event(pid=501, cid="c2")
    for moment in (
        gatekeeper.create_container,
        gatekeeper.post_create_container,
        gatekeeper.start_container,
    ):
        with pytest.raises(Refused, match="not mounted"):
            moment(later)
    assert world.runtime.stored_spec("c2")["process"]["args"][0] == GUARD


def test_a_runtime_that_has_roots_of_its_own_is_refused_before_anything_is_made(
    world: World,
) -> None:
    world.ensured()
    world.agent.admit(admission())
    for container in ("c1", "sandbox"):
        world.runtime.create(container)
        world.runtime.runtimes[container] = "io.containerd.kata.v2"
    kata = replace(event(), sandbox_id="sandbox", runtime_handler="kata")
    for moment in (world.gatekeeper.create_container, world.gatekeeper.post_create_container):
        with pytest.raises(Refused, match="RuntimeClassUnsupported"):
            moment(kata)
    assert world.runtime.stored_spec("c1")["process"]["args"][0] == GUARD


def test_a_runtime_class_of_runc_s_kind_gets_the_root(world: World) -> None:
    world.ensured()
    world.agent.admit(admission())
    world.runtime.create("c1")
    world.runtime.create("sandbox")
    crun = replace(event(), sandbox_id="sandbox", runtime_handler="crun")
    world.gatekeeper.create_container(crun)
    world.gatekeeper.post_create_container(crun)
    assert world.runtime.stored_spec("c1")["root"]["path"] == str(world.paths.rootfs(UID))


def test_the_default_runtime_class_costs_no_look_up(world: World) -> None:
    world.ensured()
    world.agent.admit(admission())
    world.runtime.away = True
    world.gatekeeper.create_container(event())


def test_a_held_root_is_refused_at_every_moment(world: World) -> None:
    device = world.running(pid=500)
    world.runtime.create("c2")
    gatekeeper, later = world.gatekeeper, event(pid=501, cid="c2")
    with pytest.raises(Refused, match="in use by pod pod-1"):
        gatekeeper.create_container(later)
    with pytest.raises(Refused, match="in use"):
        gatekeeper.post_create_container(later)
    world.kernel.spawn(501, device)
    with pytest.raises(Refused, match="in use"):
        gatekeeper.start_container(later)


def test_a_restart_in_place_of_the_same_pod_works(world: World) -> None:
    device = world.running(pid=500)
    world.kernel.kill(500)
    # No waiting for the thread that watches pidfds: the moments look for themselves.
    world.runtime.create("c2")
    world.gatekeeper.create_container(event(cid="c2"))
    world.gatekeeper.post_create_container(event(cid="c2"))
    world.kernel.spawn(600, device, namespace=8)
    world.gatekeeper.start_container(event(pid=600, cid="c2"))
    holder = world.store.get(UID).holder
    assert holder is not None
    assert holder.pid == 600


def test_another_container_with_the_last_one_s_number_of_a_namespace_is_nobody(
    world: World,
) -> None:
    """The kernel gives the number away again, before the agent has heard of the end."""
    device = world.running()
    ended = world.kernel.living.pop(500)
    world.kernel.spawn(600, device + 1, namespace=world.kernel.new_namespace(), pod="pod-2")
    assert world.kernel.living[600].mount_namespace != ended.mount_namespace
    world.gatekeeper.create_container(event(cid="c2"))
    assert world.store.get(UID).holder is None
    world.kernel.spawn(700, device, namespace=world.kernel.new_namespace())
    assert world.kernel.living[700].mount_namespace == ended.mount_namespace


def test_a_container_that_is_not_on_its_root_may_not_start(world: World) -> None:
    world.ensured()
    world.agent.admit(admission())
    world.runtime.create("c1")
    world.gatekeeper.post_create_container(event())
    world.kernel.spawn(500, device=55)
    for pid in (500, 0, 999):
        with pytest.raises(Refused, match="not on root"):
            world.gatekeeper.start_container(event(pid=pid))
    assert world.store.get(UID).holder is None


def test_a_container_whose_admission_was_replaced_may_not_start(world: World) -> None:
    device = world.ensured()
    world.agent.admit(admission("pod-1"))
    world.runtime.create("c1")
    world.gatekeeper.post_create_container(event("pod-1"))
    world.agent.admit(admission("pod-2"))
    world.kernel.spawn(500, device)
    with pytest.raises(Refused, match="not admitted"):
        world.gatekeeper.start_container(event("pod-1", 500))


def test_a_pod_without_the_guard_is_not_swapped(world: World) -> None:
    world.ensured()
    world.agent.admit(admission())
    world.runtime.create("c1", ["sleep", "9"])
    with pytest.raises(Refused, match="not made by the controller"):
        world.gatekeeper.post_create_container(event())


def test_a_root_that_is_being_deleted_takes_nobody(world: World) -> None:
    world.ensured()
    world.agent.admit(admission())
    record = world.store.get(UID).record
    assert record is not None
    world.store.update(UID, record=replace(record, deleting=True))
    with pytest.raises(Refused):
        world.gatekeeper.create_container(event())


def test_synchronize_names_the_holder_that_a_restart_found(world: World) -> None:
    device = world.running(pid=500)
    world.kernel.pods[500] = ""  # a cgroup that says nothing
    world.kernel.spawn(499, device)
    world.restart()
    holder = world.store.get(UID).holder
    assert holder is not None
    assert (holder.pod_uid, holder.pid) == ("", 499)
    world.gatekeeper.synchronize([event(pid=500), event("x", 1), event("y", 0), event("z", 9999)])
    holder = world.store.get(UID).holder
    assert holder is not None
    assert (holder.pod_uid, holder.pid) == ("pod-1", 500)


def test_after_a_restart_the_next_start_works_without_the_controller(world: World) -> None:
    world.running(pid=500)
    world.kernel.reboot()
    world.restart()
    device = world.store.get(UID).device
    assert device is not None
    world.runtime.create("c2")
    world.gatekeeper.create_container(event(cid="c2"))
    world.gatekeeper.post_create_container(event(cid="c2"))
    world.kernel.spawn(700, device)
    world.gatekeeper.start_container(event(pid=700, cid="c2"))
    assert world.agent.ensure(wanted(), "").holder is not None


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b" " * (8 * 1024 * 1024 + 1)]
)
def test_specs_that_are_none_are_refused(raw: bytes) -> None:
    with pytest.raises(Refused):
        parse_spec(raw)
