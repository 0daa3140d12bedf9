"""A kernel with a mount table and a process table; folders are real ones below a temporary path.

tests/kernel runs one contract against this and against Linux, so that it cannot drift.
"""

from __future__ import annotations

import errno
import itertools
import os
import select
import shutil
from typing import TYPE_CHECKING

from nodeagent.errors import MountError
from nodeagent.model import Mount, Process

if TYPE_CHECKING:
    from pathlib import Path

_OWN_NAMESPACE = 4026531840


class FakeKernel:
    """What a node's kernel would remember."""

    def __init__(self) -> None:
        self.table: list[Mount] = []
        self.elsewhere: dict[str, tuple[int, ...]] = {}  # source -> processes in other namespaces
        self.synced: list[Path] = []
        self.living: dict[int, Process] = {}
        self.pods: dict[int, str] = {}
        self.broken: dict[str, MountError] = {}  # what the next call of that name answers
        self._pidfds: dict[int, list[int]] = {}
        self._kept: list[tuple[int, int]] = []  # a namespace, and the other end of its descriptor
        self.files: dict[Path, str] = {}
        self.others: dict[int, set[int]] = {}  # in the cgroup of a container's first process
        self.mortal: set[int] = set()  # first processes that end just when the others are killed
        self.frozen: set[int] = set()  # first processes
        self._next = 100
        self.spawn(1, device=1, namespace=_OWN_NAMESPACE)
        self.spawn(os.getpid(), device=1, namespace=_OWN_NAMESPACE)

    # ---- what a test does ----

    def write_below(self, root: Path, name: str, text: str) -> None:
        """Put a file into a root, as a process in it would."""
        self.files[root / name] = text

    def spawn(self, pid: int, device: int, namespace: int = 7, pod: str = "") -> None:
        """Start a process with its root on a device."""
        self.living[pid] = Process(pid, device, namespace)
        self.pods[pid] = pod

    def new_namespace(self) -> int:
        """The number of a new mount namespace: the lowest that is free, as Linux gives them."""
        kept = {number for number, writer in self._kept if not _is_closed(writer)}
        taken = kept | {one.mount_namespace for one in self.living.values()}
        return next(number for number in itertools.count(7) if number not in taken)

    def kill(self, pid: int) -> None:
        """End a process, as doors.Kernel does; whoever holds a pidfd of it wakes up."""
        self.living.pop(pid, None)
        for writer in self._pidfds.pop(pid, []):
            os.close(writer)

    def reboot(self) -> None:
        """Lose every mount and process, keep the disk."""
        self.table.clear()
        for pid in [pid for pid in self.living if pid not in (1, os.getpid())]:
            self.kill(pid)

    def mount_foreign(self, target: Path) -> None:
        """Mount something that is not the agent's."""
        self._attach("tmpfs", "tmpfs", target)

    # ---- doors.Kernel ----

    def mounts(self) -> tuple[Mount, ...]:
        return tuple(self.table)

    def mounted_for(self, source: str) -> tuple[int, ...]:
        own = (os.getpid(),) if any(m.source == source for m in self.table) else ()
        return own + self.elsewhere.get(source, ())

    def mount_overlay(
        self, source: str, target: Path, lower: tuple[Path, ...], upper: Path, work: Path
    ) -> None:
        self._fail("mount_overlay")
        for path in (*lower, upper, work, target):
            if not path.is_dir():
                raise MountError("mount overlay", source, str(target), errno.ENOENT)
        self._attach("overlay", source, target)

    def unmount(self, target: Path) -> None:
        self._fail("unmount")
        here = [m for m in self.table if m.target == str(target)]
        below = [m for m in self.table if m.target.startswith(f"{target}/")]
        if not here:
            raise MountError("unmount", "", str(target), errno.EINVAL)
        if below:
            raise MountError("unmount", "", str(target), errno.EBUSY)
        self.table.remove(here[-1])

    def make_shared(self, path: Path) -> None:
        assert path.is_dir()

    def exists(self, path: Path) -> bool:
        return path.is_dir() and not path.is_symlink()

    def make_dir(self, path: Path, mode: int) -> None:
        self._fail("make_dir")
        path.mkdir(mode=mode, exist_ok=True)

    def make_upper(self, path: Path, like: Path) -> None:
        self._fail("make_upper")
        path.mkdir(mode=0o700)
        path.chmod(like.stat().st_mode & 0o7777)

    def remove_dir(self, path: Path) -> None:
        self._refuse_mounted("rmdir", path)
        if path.exists():
            path.rmdir()

    def remove_tree(self, path: Path) -> None:
        self._fail("remove_tree")
        self._refuse_mounted("remove", path)
        if path.exists():
            shutil.rmtree(path)

    def sync(self, path: Path) -> None:
        self._fail("sync")
        self.synced.append(path)

    def device(self, path: Path) -> int:
        return next((m.device for m in reversed(self.table) if m.target == str(path)), 1)

    def read_below(self, root: Path, name: str, limit: int) -> str:
        text = self.files.get(root / name, "")
        return text if len(text) <= limit else ""

    def process(self, pid: int) -> Process | None:
        return self.living.get(pid)

    def processes(self) -> tuple[Process, ...]:
        return tuple(self.living.values())

    def pod_of(self, pid: int) -> str:
        return self.pods.get(pid, "")

    def open_pidfd(self, pid: int) -> int:
        if pid not in self.living:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        reader, writer = os.pipe2(os.O_CLOEXEC)
        self._pidfds.setdefault(pid, []).append(writer)
        return reader

    def keep_namespace(self, pid: int) -> tuple[int, int]:
        if pid not in self.living:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        reader, writer = os.pipe2(os.O_CLOEXEC)
        number = self.living[pid].mount_namespace
        self._kept.append((number, writer))
        return reader, number

    def began(self, pid: int) -> int:
        return 1_000_000 * pid if pid in self.living else 0

    def beside(self, pid: int) -> tuple[int, ...]:
        self._fail("beside")
        return tuple(sorted(self.others.get(pid, ())))

    def kill_beside(self, pid: int) -> int:
        self._fail("kill_beside")
        if pid in self.mortal:
            self.kill(pid)
        return len(self.others.pop(pid, ()))

    def freeze(self, pid: int) -> None:
        self._fail("freeze")
        self.frozen.add(pid)

    def thaw(self, pid: int) -> None:
        self._fail("thaw")
        self.frozen.discard(pid)

    def is_frozen(self, pid: int) -> bool:
        return pid in self.frozen

    # ---- inside ----

    def _attach(self, fstype: str, source: str, target: Path) -> None:
        self._next += 1
        number = self._next
        self.table.append(
            Mount(number, 1, number, "/", str(target), ("rw",), (), fstype, source, ("rw",))
        )

    def _refuse_mounted(self, act: str, path: Path) -> None:
        inside = (str(path), f"{path}/")
        if any(m.target == inside[0] or m.target.startswith(inside[1]) for m in self.table):
            raise MountError(act, "", str(path), errno.EBUSY)

    def _fail(self, call: str) -> None:
        if call in self.broken:
            raise self.broken.pop(call)


def _is_closed(writer: int) -> bool:
    """Whether the reader of a pipe has been closed."""
    poll = select.poll()
    poll.register(writer, 0)
    return bool(poll.poll(0))
