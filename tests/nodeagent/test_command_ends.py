"""Containers that end, also during a stop, and the pod's own hooks; with the real gate."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from nodeagent.errors import NotFound, NotThereYet
from nodeagent.model import ProcessState
from tests.nodeagent.warm import STUBBORN, Hook

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.nodeagent.warm import Warm

RUNNING, STOPPED, STOPPING = ProcessState.RUNNING, ProcessState.STOPPED, ProcessState.STOPPING


# ---- containers that end ----


def test_a_command_that_ends_ends_its_container_and_runs_in_the_next(
    warm: Callable[..., Warm],
) -> None:
    it = warm("sh", "-c", "echo ready; read x; exit 3")
    it.running()
    assert it.container.stdin is not None
    it.container.stdin.close()
    assert it.ended() == 3
    assert it.root.process is ProcessState.NONE
    with pytest.raises(NotFound):
        it.start()
    it.running()


def test_a_container_that_ends_while_it_is_stopped_stays_stopped_in_its_next_life(
    warm: Callable[..., Warm],
) -> None:
    it = warm()
    it.running()
    it.stopped()
    os.kill(it.container.pid, signal.SIGKILL)
    it.ended()
    it.create()
    assert it.shown == "stopped"
    assert it.root.process is ProcessState.CONNECTING
    with pytest.raises(NotThereYet, match="not connected"):
        it.stop()
    assert it.container.stdin is not None
    it.container.stdin.write("go\n")
    it.container.stdin.flush()
    it.until(STOPPED)
    assert it.start().process is RUNNING


def test_a_container_that_ends_during_a_stop_is_no_stopped_command(
    warm: Callable[..., Warm],
) -> None:
    it = warm(*STUBBORN)
    it.running()
    it.watch()
    it.stop(60)
    os.kill(it.container.pid, signal.SIGKILL)
    it.ended()
    it.run()
    it.until(STOPPED)
    assert [root.process for root in it.seen if root.synced] == [STOPPED]


def test_a_gate_that_dies_at_the_end_of_a_stop_is_no_stopped_command(
    warm: Callable[..., Warm],
) -> None:
    it = warm()
    it.running()
    it.watch()
    it.world.kernel.mortal.add(it.container.pid)
    it.stop()
    it.wait(lambda: it.root.holder is None)
    assert not [root for root in it.seen if root.synced or root.process is STOPPED]


def test_a_command_that_is_not_there_ends_its_container(warm: Callable[..., Warm]) -> None:
    it = warm("/absent")
    it.run()
    assert it.ended() == 127


# ---- hooks ----


def test_post_start_runs_at_a_warm_start_alone(warm: Callable[..., Warm]) -> None:
    it = warm()
    it.running()
    it.stopped()
    assert not it.world.runtime.ran
    hook = Hook(it.world)
    assert it.start("migrate", "now").process is ProcessState.STARTING
    assert hook.begun.wait(5)
    assert it.shown == "starting"
    assert it.root.timeline.running
    assert it.start("migrate", "now").process is ProcessState.STARTING
    hook.ends()
    it.until(RUNNING)
    assert it.shown == "running"
    assert [ran[:2] for ran in it.world.runtime.ran] == [("c1", ("migrate", "now"))]


def test_a_post_start_that_fails_ends_the_container(warm: Callable[..., Warm]) -> None:
    it = warm()
    it.running()
    it.stopped()
    Hook(it.world).ends(1)
    it.start("migrate")
    it.wait(lambda: it.container.pid not in it.world.kernel.living)


def test_a_post_start_that_a_stop_has_killed_ends_nothing(warm: Callable[..., Warm]) -> None:
    it = warm()
    it.running()
    it.stopped()
    hook = Hook(it.world)
    it.start("migrate")
    it.stopped()
    hook.ends(137)
    assert it.start().process is RUNNING
    assert it.container.pid in it.world.kernel.living


def test_pre_stop_runs_first_and_its_failure_changes_nothing(warm: Callable[..., Warm]) -> None:
    it = warm()
    it.running()
    hook = Hook(it.world)
    assert it.stop(30, "drain").process is STOPPING
    assert hook.begun.wait(5)
    assert it.shown == "running"
    hook.ends(1)
    it.until(STOPPED)
    container, command, seconds = it.world.runtime.ran[0]
    assert (container, command) == ("c1", ("drain",))
    assert 29 < seconds <= 30


def test_a_runtime_that_is_away_does_not_keep_a_command_running(warm: Callable[..., Warm]) -> None:
    it = warm()
    it.running()
    it.world.runtime.away = True
    it.stop(30, "drain")
    it.until(STOPPED)
