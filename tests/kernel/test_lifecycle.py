"""A root's whole life on the real kernel: mount, hold, restart, sync, delete."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

import pytest

from nodeagent import recovery
from nodeagent.agent import Agent
from nodeagent.errors import Busy
from nodeagent.holders import Holders
from nodeagent.kernel import Linux
from nodeagent.model import Holder
from nodeagent.paths import Paths
from nodeagent.processes import Processes
from nodeagent.store import Store
from nodeagent.writeback import Writeback
from tests.fakes.runtime import FakeRuntime
from tests.nodeagent.world import UID, wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.kernel.processes import Rooted


class Life:
    """An agent on this machine's kernel; start() is also a restart."""

    def __init__(self, place: Path) -> None:
        self.paths, self.kernel = Paths(place / "base"), Linux()
        self.runtime = FakeRuntime(place / "layers")
        self.runtime.pull("img", layers=3)
        (self.runtime.layers["sha256:chain-img"][2] / "from-image").write_text("image")
        recovery.prepare(self.paths, self.kernel)
        self.holders: Holders | None = None
        self.start()

    def start(self) -> None:
        self.stop()
        self.store = Store("node1")
        self.holders = Holders(self.kernel, self.store)
        self.holders.start()
        doors = (self.paths, self.kernel, self.runtime, self.store)
        processes = Processes(*doors, Writeback(self.paths, self.kernel, self.store))
        self.agent = Agent(*doors, self.holders, processes=processes)
        recovery.load(self.agent)
        assert recovery.resume(self.agent)

    def stop(self) -> None:
        if self.holders is not None:
            self.holders.stop()

    def until_free(self) -> None:
        free = threading.Event()
        stop = self.store.listen(lambda _uid: free.set() if self._is_free() else None)
        assert self._is_free() or free.wait(5)
        stop()

    def _is_free(self) -> bool:
        return self.store.get(UID).holder is None


@pytest.fixture
def life(place: Path) -> Iterator[Life]:
    made = Life(place)
    yield made
    made.stop()


def test_data_outlives_stop_restart_and_reboot(life: Life) -> None:
    root = life.agent.ensure(wanted(), "img")
    rootfs = life.paths.rootfs(UID)
    assert (rootfs / "from-image").read_text() == "image"
    (rootfs / "etc").mkdir()
    (rootfs / "etc" / "mine").write_text("kept")
    life.start()
    assert life.store.get(UID).device == root.device
    assert len([m for m in life.kernel.mounts() if m.target == str(rootfs)]) == 1
    life.kernel.unmount(rootfs)  # what a reboot does
    life.start()
    assert life.store.get(UID).device is not None
    assert (rootfs / "etc" / "mine").read_text() == "kept"
    assert life.agent.sync(UID).synced


def test_a_living_process_holds_the_root_also_after_a_restart(
    life: Life, rooted: Callable[..., Rooted]
) -> None:
    life.agent.ensure(wanted(), "img")
    living = rooted(life.paths.rootfs(UID), own_namespace=True)
    life.start()
    holder = life.store.get(UID).holder
    assert holder is not None
    assert (holder.pid, holder.since_unix_ms) == (living.pid, 0)
    assert holder.mount_namespace != 0
    for act in (life.agent.release, life.agent.delete, life.agent.sync):
        with pytest.raises(Busy):
            act(UID)
    living.end()
    life.until_free()
    life.agent.delete(UID)


def test_the_root_is_free_when_the_last_process_has_ended(
    life: Life, rooted: Callable[..., Rooted]
) -> None:
    life.agent.ensure(wanted(), "img")
    first, second = (rooted(life.paths.rootfs(UID)) for _ in range(2))
    assert life.holders is not None
    life.holders.hold(UID, Holder("pod-1", first.pid, 1, 0))
    first.end()
    while (holder := life.store.get(UID).holder) is not None and holder.pid == first.pid:
        pass
    assert holder is not None
    assert (holder.pod_uid, holder.pid) == ("pod-1", second.pid)
    second.end()
    life.until_free()


def test_a_copy_in_a_namespace_stops_reuse_and_delete(
    life: Life, rooted: Callable[..., Rooted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodeagent.agent._LAST_UNMOUNT_WAIT", 0.1)
    life.agent.ensure(wanted(), "img")
    rootfs = life.paths.rootfs(UID)
    (rootfs / "mine").write_text("kept")
    # A pod that has the base folder in a private volume: it does not live on the root, but sees it.
    other = rooted(life.paths.base, own_namespace=True)
    with pytest.raises(Busy, match="still mounted"):
        life.agent.delete(UID)
    with pytest.raises(Busy, match="still lives"):
        life.agent.ensure(wanted(), "img")
    assert (life.paths.upper(UID) / "mine").read_text() == "kept"
    other.end()
    life.agent.delete(UID)
    assert not life.paths.root(UID).exists()


def test_nothing_is_left_after_delete(life: Life) -> None:
    life.agent.ensure(wanted(), "img")
    (life.paths.rootfs(UID) / "d").mkdir()
    (life.paths.rootfs(UID) / "from-image").unlink()  # a whiteout in the upper
    life.agent.delete(UID)
    assert list(life.paths.roots.iterdir()) == []
    assert list(life.paths.instances.iterdir()) == []
    assert life.kernel.mounted_for(f"stoppablecontainer:{UID}") == ()
    assert life.runtime.pins == {}


def test_the_gate_is_installed_by_its_digest_and_never_overwritten(life: Life, place: Path) -> None:
    source = place / "gate"
    source.write_bytes(b"first")
    first = recovery.install_gate(source, life.paths)
    assert first.name == f"gate-{hashlib.sha256(b'first').hexdigest()[:12]}"
    assert first.stat().st_mode & 0o777 == 0o755
    inode = first.stat().st_ino
    assert recovery.install_gate(source, life.paths).stat().st_ino == inode
    source.write_bytes(b"second")
    assert recovery.install_gate(source, life.paths) != first
    assert first.read_bytes() == b"first"
