"""Holding, syncing, admitting and locking on a fake node."""

from __future__ import annotations

import errno
import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nodeagent.errors import (
    Busy,
    Impossible,
    InvalidRequest,
    MountError,
    NotFound,
    NotThereYet,
    StaleFence,
)
from nodeagent.model import Holder, Role
from tests.nodeagent.world import UID, admission, wanted

if TYPE_CHECKING:
    from tests.nodeagent.world import World


def test_a_root_is_free_only_when_the_last_process_is_gone(world: World) -> None:
    device = world.running(pid=500)
    world.kernel.spawn(501, device)
    world.kernel.spawn(
        502, device=1, namespace=7
    )  # chrooted elsewhere in the container's namespace
    world.kernel.kill(500)
    world.until(lambda: (h := world.store.get(UID).holder) is not None and h.pid == 501)
    assert world.store.get(UID).holder == replace(
        world.store.get(UID).holder,
        pod_uid="pod-1",  # type: ignore[type-var]
    )
    world.kernel.kill(501)
    world.until(lambda: (h := world.store.get(UID).holder) is not None and h.pid == 502)
    world.kernel.kill(502)
    world.until(lambda: world.store.get(UID).holder is None)


def test_sync_writes_root_and_upper_and_is_remembered(world: World) -> None:
    world.running(pid=500)
    world.kernel.kill(500)
    world.until(lambda: world.store.get(UID).holder is None)
    assert not world.store.get(UID).synced
    assert world.agent.sync(UID).synced
    assert world.kernel.synced == [world.paths.rootfs(UID)]
    world.restart()
    assert world.store.get(UID).synced


def test_a_restart_in_place_takes_synced_back_also_on_disk(world: World) -> None:
    device = world.running(pid=500)
    world.kernel.kill(500)
    world.agent.sync(UID)
    world.kernel.spawn(600, device)
    world.holders.hold(UID, Holder("pod-1", 600, 1, 7))
    assert not world.store.get(UID).synced
    world.agent.writeback.settle(UID)
    world.kernel.kill(600)
    world.restart()
    assert not world.store.get(UID).synced


def test_admission_is_on_disk_and_the_same_again_writes_nothing(world: World) -> None:
    world.ensured()
    world.agent.admit(admission())
    path = world.paths.admission(UID, Role.CONSUMER)
    before = path.stat().st_ino
    world.agent.admit(admission())
    assert path.stat().st_ino == before
    world.agent.admit(admission("pod-2"))
    assert world.store.admission("pod-1") is None
    world.restart()
    assert world.store.admission("pod-2") == admission("pod-2")
    assert json.loads(path.read_text())["pod_uid"] == "pod-2"


def test_a_provider_needs_no_root_and_a_consumer_does(world: World) -> None:
    world.agent.admit(admission("prov", Role.PROVIDER))
    with pytest.raises(NotFound):
        world.agent.admit(admission())
    world.restart()
    assert world.store.admission("prov") is not None
    assert world.store.roots() == ()
    world.agent.delete(UID)
    assert list(world.paths.roots.iterdir()) == []


def test_a_consumer_of_another_namespace_or_of_a_held_root_is_not_admitted(world: World) -> None:
    world.running()
    with pytest.raises(Impossible):
        world.agent.admit(replace(admission("pod-2"), namespace="other"))
    with pytest.raises(Busy, match="in use"):
        world.agent.admit(admission("pod-2"))
    assert world.store.get(UID).consumer == admission("pod-1")


def test_an_admission_that_cannot_be_written_is_taken_back(world: World) -> None:
    world.ensured()
    world.kernel.broken["make_dir"] = MountError("mkdir", "", "x", errno.ENOSPC)
    with pytest.raises(MountError):
        world.agent.admit(admission())
    assert world.store.admission("pod-1") is None


def test_two_calls_for_one_root_do_not_mix(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodeagent.writeback._LOCK_WAIT", 0.05)
    world.ensured()
    inside, go_on = threading.Event(), threading.Event()
    sync = world.kernel.sync

    def slow(path: object) -> None:
        inside.set()
        assert go_on.wait(5)
        sync(path)  # type: ignore[arg-type]

    monkeypatch.setattr(world.kernel, "sync", slow)
    thread = threading.Thread(target=world.agent.sync, args=(UID,))
    thread.start()
    assert inside.wait(5)
    with pytest.raises(Busy, match="another call"):
        world.agent.release(UID)
    go_on.set()
    thread.join()


def test_the_fence_only_rises_and_outlives_a_restart(world: World) -> None:
    world.agent.check_fence(4)
    world.agent.check_fence(4)
    world.restart()
    with pytest.raises(StaleFence):
        world.agent.check_fence(3)
    world.agent.check_fence(5)


@pytest.mark.parametrize("uid", ["", "..", "a/b", "A", "x" * 64, "-a", "a\n"])
def test_bad_ids_never_become_paths(world: World, uid: str) -> None:
    for act in (world.agent.delete, world.agent.release, world.agent.get, world.agent.sync):
        with pytest.raises(InvalidRequest):
            act(uid)


def test_a_runtime_that_is_away_is_no_problem_of_the_root(world: World) -> None:
    world.runtime.pull("img")
    world.runtime.away = True
    with pytest.raises(NotThereYet):
        world.agent.ensure(wanted(), "img")
    world.runtime.away = False
    assert world.agent.ensure(wanted(), "img").problem is None
