"""The gates' sockets: who is heard, agents that come and go, what is nonsense; and the freezer."""

from __future__ import annotations

import os
import queue
import socket
from typing import TYPE_CHECKING

import pytest

from nodeagent.errors import Busy, MountError
from nodeagent.gates import Gates, parse, read_begun, write_state
from nodeagent.model import Holder, ProcessState
from nodeagent.paths import SOCKET, Paths
from nodeagent.store import Store
from tests.nodeagent.warm import PATIENCE, STUBBORN
from tests.nodeagent.world import UID, admission, event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.nodeagent.warm import Warm

RUNNING, STOPPED, STOPPING = ProcessState.RUNNING, ProcessState.STOPPED, ProcessState.STOPPING
FROZEN, CONNECTING = ProcessState.FROZEN, ProcessState.CONNECTING


def call(folder: Path) -> socket.socket:
    """Connect as anybody in the container can."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.settimeout(PATIENCE)
    inside = os.open(folder, os.O_PATH)
    made.connect(f"/proc/self/fd/{inside}/{SOCKET}")
    os.close(inside)
    return made


# ---- agents that come and go ----


def test_a_new_agent_hears_that_the_command_runs_and_it_does_not_notice(
    warm: Callable[..., Warm],
) -> None:
    it = warm()
    it.running()
    begun = it.world.paths.state(UID).read_text()
    it.world.restart()
    assert it.root.process in {CONNECTING, RUNNING}
    it.until(RUNNING)
    assert it.world.paths.state(UID).read_text() == begun
    # The runtime's own word for the container comes a little later, and changes nothing.
    it.world.gatekeeper.synchronize([event(pid=it.container.pid, cid="c1")])
    holder = it.root.holder
    assert holder is not None
    assert holder.container_id == "c1"
    assert it.root.process is RUNNING
    it.stopped()
    assert it.start().process is RUNNING


def test_a_new_agent_leaves_a_stopped_command_stopped_and_syncs_what_it_left(
    warm: Callable[..., Warm],
) -> None:
    it = warm()
    it.running()
    it.stopped()
    it.world.kernel.synced.clear()
    it.world.restart()
    it.until(STOPPED)
    assert it.root.synced
    assert it.world.kernel.synced
    it.world.gatekeeper.synchronize([event(pid=it.container.pid, cid="c1")])
    assert it.root.synced
    assert it.start().process is RUNNING


def test_a_new_agent_finishes_a_stop_that_the_old_one_began(warm: Callable[..., Warm]) -> None:
    it = warm(*STUBBORN)
    it.running()
    it.stop(1.0)
    it.world.restart()
    it.world.kernel.others[it.container.pid] = {77}
    it.until(STOPPING)
    with pytest.raises(Busy):
        it.start()
    it.until(RUNNING)
    assert not it.world.kernel.others
    it.stop(0)
    it.until(STOPPED)
    assert it.root.synced


def test_an_order_that_was_lost_with_the_connection_is_said_again(
    warm: Callable[..., Warm],
) -> None:
    it = warm()
    it.running()
    gates = it.world.processes.gates
    gates.hang_up(UID)
    assert it.stop(60).process in {STOPPING, STOPPED}
    it.until(STOPPED)


# ---- who is heard ----


def test_a_stranger_is_hung_up_on_and_the_gate_stays(warm: Callable[..., Warm]) -> None:
    it = warm()
    it.running()
    it.watch()
    for _ in range(10):
        with call(it.world.paths.gate_folder(UID)) as stranger:
            assert stranger.recv(100) == b""
    assert not it.seen
    it.stopped()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / ("x" * 100))
    yield made
    made.close()


class Rig:
    """Gates whose gate is this process."""

    def __init__(self, base: Path) -> None:
        base.mkdir()
        (base / "gates").mkdir(mode=0o700)
        self.paths, self.store = Paths(base), Store("node1")
        self.store.admit(admission("pod-1", init=True, supervise=True))
        self.hold(os.getpid())
        self.heard: queue.Queue[str] = queue.Queue()
        self.gates = Gates(self.paths, self.store)
        self.gates.on_heard = lambda _uid, word: self.heard.put(word)
        self.gates.listen(UID)
        self.thread = self.gates.start()

    def hold(self, pid: int, pod_uid: str = "pod-1") -> None:
        self.store.update(UID, holder=Holder(pod_uid, pid, 1))

    def call(self) -> socket.socket:
        return call(self.paths.gate_folder(UID))

    def close(self) -> None:
        self.gates.stop()
        self.thread.join(5)
        assert not self.thread.is_alive()


@pytest.mark.parametrize(
    "message",
    [
        *(b"hello", b"hello 2 stopped", b"hello 1 running", b"hello 1 running -1", b"started"),
        *(b"started 0", b"started 12345678901", b"stopped ", b"stopped\n", b"\xff", b"x" * 65),
        *(b"hello 1 stopped" + b" " * 60, b"x" * 100_000, b"start"),
    ],
    ids=lambda message: str(message[:20]),
)
def test_nonsense_ends_the_connection(rig: Rig, message: bytes) -> None:
    with rig.call() as gate:
        gate.send(message)
        assert gate.recv(100) == b""
    assert rig.heard.empty()
    assert parse(message) is None


def test_only_the_admitted_pod_s_first_process_is_the_gate(rig: Rig) -> None:
    rig.hold(os.getpid(), pod_uid="pod-2")
    with rig.call() as stranger:
        assert stranger.recv(100) == b""
    rig.hold(os.getpid())
    with rig.call() as gate:
        gate.send(b"hello 1 stopped")
        assert rig.heard.get(timeout=PATIENCE) == "hello stopped"
        # Its second call takes the place of the first.
        with rig.call() as again:
            assert gate.recv(100) == b""
            again.send(b"hello 1 running 7")
            assert rig.heard.get(timeout=PATIENCE) == "hello running"


def test_a_gate_that_talks_without_end_is_hung_up_on(rig: Rig) -> None:
    with rig.call() as gate, pytest.raises(OSError, match=r"Broken pipe|reset"):
        talk_for_ever(gate)
    assert rig.heard.qsize() <= 200


def talk_for_ever(gate: socket.socket) -> None:
    while True:
        gate.send(b"stopped")


def test_everybody_in_the_container_reaches_the_socket_and_nobody_else(rig: Rig) -> None:
    folder = rig.paths.gate_folder(UID)
    assert folder.stat().st_mode & 0o777 == 0o755
    assert (folder / SOCKET).stat().st_mode & 0o777 == 0o666
    assert folder.parent.stat().st_mode & 0o777 == 0o700


def test_an_order_without_a_gate_is_not_sent(rig: Rig) -> None:
    assert not rig.gates.send(UID, "start")
    assert not rig.gates.send("nobody", "start")


def test_the_state_is_replaced_as_a_whole_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "state"
    assert read_begun(path) == 0
    write_state(path, "running", 1234)
    assert path.read_text() == "running 1234\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert read_begun(path) == 1234
    for text in ("", "running", "running x", "\xff"):
        path.write_text(text, "latin-1")
        assert read_begun(path) == 0


# ---- frozen ----


def test_a_frozen_command_goes_on_where_it_was(warm: Callable[..., Warm]) -> None:
    it = warm()
    it.running()
    pid = it.container.pid
    it.stop(freeze=True)
    it.until(FROZEN)
    assert it.root.synced
    assert it.shown == "frozen"
    assert it.world.kernel.frozen == {pid}
    assert it.stop(freeze=True).process is FROZEN
    assert it.world.agent.sync(UID).synced
    root = it.start("hook")
    assert (root.process, root.synced, it.shown) == (RUNNING, False, "running")
    assert not it.world.kernel.frozen
    assert not it.world.runtime.ran  # nothing was started


def test_a_frozen_command_can_be_stopped(warm: Callable[..., Warm]) -> None:
    it = warm()
    it.running()
    it.stop(freeze=True)
    it.until(FROZEN)
    it.stopped()
    assert not it.world.kernel.frozen


def test_a_new_agent_finds_what_is_frozen(warm: Callable[..., Warm]) -> None:
    it = warm()
    it.running()
    it.stop(freeze=True)
    it.until(FROZEN)
    it.world.restart()
    it.until(FROZEN)
    assert it.root.synced
    assert it.start().process is RUNNING
    it.stopped()


def test_what_cannot_be_frozen_runs_on_and_says_why(warm: Callable[..., Warm]) -> None:
    it = warm()
    it.running()
    it.world.kernel.broken["freeze"] = MountError("freeze", "", "/c", 110)
    with pytest.raises(MountError, match="freeze /c"):
        it.stop(freeze=True)
    assert (it.root.process, it.shown) == (RUNNING, "running")
    it.stop(freeze=True)
    it.until(FROZEN)
    it.world.kernel.broken["thaw"] = MountError("thaw", "", "/c", 2)
    with pytest.raises(MountError, match="thaw /c"):
        it.start()
    assert it.root.process is FROZEN
    assert it.start().process is RUNNING
