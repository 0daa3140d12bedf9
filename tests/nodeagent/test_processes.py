"""Orders, and what the real gate makes of them: start, stop, hooks, crashes, agent restarts."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from nodeagent.errors import Busy, MountError, NotFound
from nodeagent.model import ProcessState
from tests.nodeagent.warm import STUBBORN
from tests.nodeagent.world import UID, admission

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.nodeagent.warm import Warm
    from tests.nodeagent.world import World

RUNNING, STOPPED, STOPPING = ProcessState.RUNNING, ProcessState.STOPPED, ProcessState.STOPPING


def test_a_new_pod_s_command_runs_at_once(warm: Callable[..., Warm]) -> None:
    it = warm()
    it.create()
    assert it.root.process is ProcessState.CONNECTING
    assert it.shown == "starting"
    assert it.container.stdin is not None
    it.container.stdin.write("go\n")
    it.container.stdin.flush()
    it.until(RUNNING)
    assert it.printed() == "ready"
    assert it.shown == "running"
    assert not it.root.synced
    times = it.root.timeline
    assert times.pod_uid == "pod-1"
    assert 0 < times.created <= times.swapped <= times.verified <= times.running
    assert it.start().process is RUNNING


def test_a_stop_ends_on_disk_and_the_next_start_runs_the_command_again(
    warm: Callable[..., Warm],
) -> None:
    it = warm()
    it.running()
    it.watch()
    for _ in range(3):
        it.stopped()
        assert it.shown == "stopped"
        assert it.world.kernel.synced[-1] == it.world.paths.rootfs(UID)
        times = it.root.timeline
        assert 0 < times.stopping <= times.stopped <= times.synced
        assert [r.process for r in it.seen if r.synced] == [STOPPED]
        it.seen.clear()
        assert it.start().process is RUNNING
        assert it.printed() == "ready"
        assert not it.root.synced
    assert len(it.containers) == 1
    assert it.container.poll() is None


def test_both_orders_are_repeated_for_nothing(warm: Callable[..., Warm]) -> None:
    it = warm()
    it.running()
    assert it.start().process is RUNNING
    it.stopped()
    writes, begun = len(it.world.kernel.synced), time.monotonic()
    assert it.stop().process is STOPPED
    assert it.stop(freeze=True).process is STOPPED
    assert time.monotonic() - begun < 0.1
    assert len(it.world.kernel.synced) == writes


def test_a_command_that_ignores_the_signal_is_killed_after_the_grace(
    warm: Callable[..., Warm],
) -> None:
    it = warm(*STUBBORN)
    it.running()
    begun = time.monotonic()
    assert it.stop(0.5).process is STOPPING
    assert time.monotonic() - begun < 0.45
    assert it.shown == "stopping"
    it.until(STOPPED)
    assert time.monotonic() - begun >= 0.5
    assert it.root.synced


def test_a_later_stop_may_be_shorter_and_never_longer(warm: Callable[..., Warm]) -> None:
    it = warm(*STUBBORN)
    it.running()
    it.stop(60)
    it.stop(0)
    it.until(STOPPED)


def test_the_signal_is_the_container_s_own(warm: Callable[..., Warm]) -> None:
    it = warm("sh", "-c", 'trap "echo asked; exit" USR1; echo ready; while :; do sleep 0.1; done')
    it.world.runtime.signals["c1"] = signal.SIGUSR1
    it.running()
    it.stop()
    assert it.printed() == "asked"
    it.until(STOPPED)


def test_a_start_during_a_stop_is_done_after_it_and_nothing_says_stopped_between(
    warm: Callable[..., Warm],
) -> None:
    it = warm(*STUBBORN)
    it.running()
    it.watch()
    it.stop(0.5)
    with pytest.raises(Busy, match="started after that"):
        it.start()
    it.until(RUNNING)
    assert it.printed() == "ready"
    assert not [root for root in it.seen if root.synced or root.process is STOPPED]


def test_a_stop_takes_back_the_start_that_waits_for_it(warm: Callable[..., Warm]) -> None:
    it = warm(*STUBBORN)
    it.running()
    it.stop(0.5)
    with pytest.raises(Busy):
        it.start()
    it.stop(0.5)
    it.until(STOPPED)


def test_what_is_left_beside_the_gate_is_killed_before_the_sync(warm: Callable[..., Warm]) -> None:
    it = warm()
    it.running()
    it.world.kernel.others[it.container.pid] = {77, 78}
    it.stopped()
    assert not it.world.kernel.others


def test_sync_is_for_a_gate_that_is_alone(warm: Callable[..., Warm]) -> None:
    it = warm()
    it.running()
    with pytest.raises(Busy, match="in use"):
        it.world.agent.sync(UID)
    it.stopped()
    assert it.world.agent.sync(UID).synced
    it.world.kernel.others[it.container.pid] = {77}
    with pytest.raises(Busy, match="process 77 runs beside the gate"):
        it.world.agent.sync(UID)


def test_a_disk_that_refuses_is_asked_again_by_the_next_stop(warm: Callable[..., Warm]) -> None:
    it = warm()
    it.running()
    it.world.kernel.broken["sync"] = MountError("syncfs", "", "/x", 5)
    it.stop()
    it.until(STOPPED)
    assert not it.root.synced
    it.stop()
    it.wait(lambda: it.root.synced and it.root.process is STOPPED)


def settled(it: Warm) -> None:
    """What the stop's own thread does too, and may do later; never both at once."""
    writeback = it.world.agent.writeback
    with writeback.locks.locked(UID, 10):
        writeback.note(UID)
    writeback.settle(UID)


def test_a_stopped_root_stays_settled_on_disk(warm: Callable[..., Warm]) -> None:
    it = warm()
    it.running()
    it.stopped()
    settled(it)
    record = it.root.record
    assert record is not None
    assert record.synced_for == "pod-1"
    it.start()
    settled(it)
    record = it.root.record
    assert record is not None
    assert not record.synced_for


# ---- who may order ----


def test_another_pod_s_command_is_not_found(warm: Callable[..., Warm]) -> None:
    it = warm()
    with pytest.raises(NotFound):
        it.start()
    it.running()
    with pytest.raises(NotFound):
        it.world.agent.start_process(UID, "pod-2", ())
    with pytest.raises(NotFound):
        it.world.agent.stop_process(UID, "pod-2", 1, (), freeze=False)


def test_a_plain_container_has_no_command_of_ours(world: World) -> None:
    world.running(pid=500)
    assert world.store.get(UID).process is ProcessState.NONE
    assert not world.paths.gate_folder(UID).exists()
    with pytest.raises(NotFound):
        world.agent.start_process(UID, "pod-1", ())
    assert world.store.get(UID).timeline.verified


def test_nothing_is_left_when_a_plain_pod_follows_or_the_root_goes(
    warm: Callable[..., Warm],
) -> None:
    it = warm()
    it.running()
    it.container.kill()
    it.ended()
    folder = it.world.paths.gate_folder(UID)
    assert folder.is_dir()
    it.world.agent.admit(admission("pod-2"))
    assert not folder.exists()
    it.world.agent.admit(admission("pod-3", init=True, supervise=True))
    assert folder.is_dir()
    assert it.root.timeline.pod_uid == "pod-3"
    it.world.agent.delete(UID)
    assert not folder.exists()
