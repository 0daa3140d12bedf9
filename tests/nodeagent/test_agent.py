"""The use cases on a fake node: what they promise, and what they refuse."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nodeagent.errors import (
    Busy,
    Impossible,
    MountError,
    NotFound,
)
from nodeagent.model import Holder, Role
from nodeagent.paths import source_of
from tests.nodeagent.world import UID, admission, wanted

if TYPE_CHECKING:
    from tests.nodeagent.world import World


def test_ensure_makes_a_mounted_and_pinned_root(world: World) -> None:
    world.runtime.pull("img", layers=3)
    root = world.agent.ensure(wanted(), "img")
    assert root.device is not None
    assert root.synced
    assert world.runtime.pins == {UID: "sha256:chain-img"}
    assert [m.source for m in world.kernel.table] == [source_of(UID)]


def test_a_pod_that_moved_to_another_root_is_not_forgotten_with_the_old_one(world: World) -> None:
    world.ensured()
    later = f"{UID}-r1"
    world.agent.ensure(wanted(later), "img")
    provider = admission("prov", Role.PROVIDER)
    world.agent.admit(provider)
    world.agent.admit(replace(provider, root_uid=later))
    world.agent.delete(UID)
    assert world.store.admission("prov") == replace(provider, root_uid=later)
    world.restart()
    assert world.store.admission("prov") == replace(provider, root_uid=later)
    assert [root.uid for root in world.store.roots()] == [later]


def test_ensure_twice_changes_nothing(world: World) -> None:
    world.ensured()
    before = list(world.kernel.table)
    world.agent.ensure(wanted(), "img")
    assert world.kernel.table == before


def test_the_image_of_a_root_never_changes(world: World) -> None:
    world.ensured()
    world.runtime.pull("other")
    root = world.agent.ensure(replace(wanted(), image_name="other"), "other")
    assert root.record is not None
    assert root.record.image.digest == "img"
    assert root.record.image_name == "busybox"


def test_a_new_root_needs_an_image_that_the_runtime_has(world: World) -> None:
    for image_id in ("", "absent"):
        with pytest.raises(Impossible):
            world.agent.ensure(wanted(), image_id)
    assert world.store.roots() == ()


def test_a_failed_mount_is_remembered_and_forgotten_when_it_works(world: World) -> None:
    world.runtime.pull("img")
    world.kernel.broken["mount_overlay"] = MountError("mount overlay", "a", "b", errno.EINVAL)
    with pytest.raises(MountError, match="mount overlay a -> b: Invalid argument"):
        world.agent.ensure(wanted(), "img")
    problem = world.store.get(UID).problem
    assert problem is not None
    assert problem.reason == "MountFailed"
    assert world.agent.ensure(wanted(), "").problem is None


def test_ensure_does_not_mount_a_second_overlay_over_a_living_one(world: World) -> None:
    world.ensured()
    world.agent.release(UID)
    world.kernel.elsewhere[source_of(UID)] = (77,)
    with pytest.raises(Busy, match="77"):
        world.agent.ensure(wanted(), "img")
    assert world.kernel.table == []


def test_a_foreign_mount_in_the_roots_place_is_refused(world: World) -> None:
    world.ensured()
    world.kernel.mount_foreign(world.paths.rootfs(UID))
    with pytest.raises(Impossible) as caught:
        world.agent.ensure(wanted(), "img")
    assert caught.value.reason == "ForeignMount"
    with pytest.raises(Impossible):
        world.agent.delete(UID)
    assert world.paths.upper(UID).is_dir()


def test_layers_that_are_gone_are_reported(world: World) -> None:
    world.ensured()
    world.kernel.reboot()
    world.runtime.layers.clear()
    world.restart()
    problem = world.store.get(UID).problem
    assert problem is not None
    assert problem.reason == "LayersMissing"


def test_pins_outlive_garbage_collection(world: World) -> None:
    world.ensured()
    world.runtime.collect_garbage()
    world.kernel.reboot()
    world.restart()
    assert world.store.get(UID).device is not None


def test_release_keeps_the_data(world: World) -> None:
    world.ensured()
    (world.paths.upper(UID) / "file").write_text("kept")
    assert world.agent.release(UID).device is None
    assert world.agent.release(UID).device is None
    assert world.agent.ensure(wanted(), "").device is not None
    assert (world.paths.upper(UID) / "file").read_text() == "kept"


def test_delete_leaves_nothing(world: World) -> None:
    world.ensured()
    world.agent.admit(admission("prov", Role.PROVIDER))
    world.agent.delete(UID)
    world.agent.delete(UID)
    assert world.kernel.table == []
    assert world.runtime.pins == {}
    assert list(world.paths.roots.iterdir()) == []
    assert list(world.paths.instances.iterdir()) == []
    assert world.store.known() == ()
    with pytest.raises(NotFound):
        world.agent.get(UID)


def test_a_held_root_is_not_touched(world: World) -> None:
    world.running(pid=500)
    for act in (world.agent.delete, world.agent.release, world.agent.sync):
        with pytest.raises(Busy, match="pod-1"):
            act(UID)
    assert len(world.kernel.table) == 1
    world.kernel.kill(500)
    world.agent.delete(UID)


def test_delete_waits_for_the_last_namespace(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodeagent.agent._LAST_UNMOUNT_WAIT", 0.1)
    world.ensured()
    world.kernel.elsewhere[source_of(UID)] = (77,)
    with pytest.raises(Busy, match="77"):
        world.agent.delete(UID)
    assert world.paths.upper(UID).is_dir()
    world.kernel.elsewhere.clear()
    world.agent.delete(UID)
    assert not world.paths.root(UID).exists()


def test_a_cut_delete_goes_on_at_the_next_start(world: World) -> None:
    world.ensured()
    world.kernel.broken["remove_tree"] = MountError("remove", "", "x", errno.EIO)
    with pytest.raises(MountError):
        world.agent.delete(UID)
    with pytest.raises(Busy, match="being deleted"):
        world.agent.ensure(wanted(), "img")
    world.restart()
    assert world.store.known() == ()
    assert list(world.paths.roots.iterdir()) == []


def test_a_corrupt_record_can_be_deleted_and_nothing_else(world: World) -> None:
    world.ensured()
    world.paths.record(UID).write_text("{")
    world.restart()
    problem = world.agent.get(UID).problem
    assert problem is not None
    assert problem.reason == "RecordCorrupt"
    with pytest.raises(Impossible):
        world.agent.ensure(wanted(), "img")
    with pytest.raises(Impossible):
        world.agent.admit(admission())
    world.agent.delete(UID)
    assert world.runtime.pins == {}
    assert world.kernel.table == []


def test_one_bad_record_does_not_stop_the_others(world: World) -> None:
    world.ensured()
    (world.paths.roots / "bad").mkdir()
    (world.paths.roots / "bad" / "record.json").write_text("[]")
    (world.paths.roots / "BAD NAME").mkdir()
    world.kernel.reboot()
    world.restart()
    assert world.store.get(UID).device is not None
    assert [r.uid for r in world.store.roots()] == [UID, "bad"]


def test_a_restart_adopts_what_is_mounted_and_finds_who_lives_there(world: World) -> None:
    device = world.running(pid=500, pod_uid="pod-1")
    world.runtime.away = True  # adopting needs nothing of the runtime
    world.restart()
    root = world.store.get(UID)
    assert root.device == device
    assert root.holder == Holder("pod-1", 500, 0, 7)
    assert not root.synced
    assert len(world.kernel.table) == 1
    world.kernel.kill(500)
    world.until(lambda: world.store.get(UID).holder is None)


def test_a_reboot_mounts_again_and_finds_nobody(world: World) -> None:
    world.running()
    world.kernel.reboot()
    world.restart()
    root = world.store.get(UID)
    assert root.device is not None
    assert root.holder is None
    assert root.consumer == admission()
