"""The real kernel behind doors.Kernel: mounts, folders and processes of this node.

agent.py, admission.py and holders.py see only the protocol; the calls themselves are in linux.py.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nodeagent import cgroups, linux, mountinfo, trees
from nodeagent.errors import MountError
from nodeagent.model import Process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nodeagent.model import Mount

_CGROUP_LIMIT = 64 * 1024
_TICKS = os.sysconf("SC_CLK_TCK")


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit())


class Linux:
    """This machine."""

    def mounts(self) -> tuple[Mount, ...]:
        """List the mounts of the agent's own namespace."""
        return mountinfo.read("self")

    def mounted_for(self, source: str) -> tuple[int, ...]:
        """Name one process of each mount namespace that has an overlay of this source."""
        seen: set[tuple[int, int, int]] = set()
        found: list[int] = []
        for pid in _pids():
            try:
                namespace = Path(f"/proc/{pid}/ns/mnt").stat().st_ino
                root = os.stat(f"/proc/{pid}/root/")  # noqa: PTH116 - Path drops the slash
            except OSError:
                continue  # gone, or a zombie: it holds nothing
            # A chrooted process sees only a part of its namespace, so the root counts too.
            key = (namespace, root.st_dev, root.st_ino)
            if key in seen:
                continue
            seen.add(key)
            if any(m.fstype == "overlay" and m.source == source for m in mountinfo.read(pid)):
                found.append(pid)
        return tuple(found)

    def mount_overlay(
        self, source: str, target: Path, lower: tuple[Path, ...], upper: Path, work: Path
    ) -> None:
        """Mount an overlay, lowers from top to bottom."""
        linux.mount_overlay(source, target, lower, upper, work)

    def unmount(self, target: Path) -> None:
        """Unmount what is on top at the target."""
        linux.umount2(target)

    def make_shared(self, path: Path) -> None:
        """Let mounts below the path propagate, by a bind of its own where it has none."""
        covering = [m for m in self.mounts() if path.is_relative_to(m.target)]
        mount = max(covering, key=lambda m: len(m.target))
        top = [m for m in covering if m.target == mount.target][-1]
        if any(field.startswith("shared:") for field in top.propagation):
            return
        if Path(top.target) != path:
            linux.mount_bind(path, path)
        linux.mount_setattr_shared(path)

    def exists(self, path: Path) -> bool:
        """Say whether a folder is there, without following a link."""
        return path.is_dir() and not path.is_symlink()

    def make_dir(self, path: Path, mode: int) -> None:
        """Make one folder; fine when it is there."""
        try:
            path.mkdir(mode=mode, exist_ok=True)
        except OSError as error:
            raise MountError("mkdir", "", str(path), error.errno or 0) from error

    def make_upper(self, path: Path, like: Path) -> None:
        """Make an upper whose top folder has mode, owner and attributes of another folder."""
        try:
            trees.make_upper(path, like)
        except OSError as error:
            raise MountError("make upper", str(like), str(path), error.errno or 0) from error

    def remove_dir(self, path: Path) -> None:
        """Remove an empty folder; fine when it is absent."""
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            raise MountError("rmdir", "", str(path), error.errno or 0) from error

    def remove_tree(self, path: Path) -> None:
        """Remove a folder full of a user's files; fine when it is absent."""
        trees.remove_tree(path)

    def sync(self, path: Path) -> None:
        """Write the filesystem of the path to disk."""
        try:
            linux.syncfs(path)
        except OSError as error:
            raise MountError("syncfs", "", str(path), error.errno or 0) from error

    def device(self, path: Path) -> int:
        """Return st_dev of a folder."""
        return path.stat().st_dev

    def read_below(self, root: Path, name: str, limit: int) -> str:
        """Read a file of a user's below a root; empty when it is absent, too long or no file."""
        return trees.read_below(root, name, limit)

    def process(self, pid: int) -> Process | None:
        """Look at one process; None when it is gone."""
        try:
            # The trailing slash makes stat cross into the root; the path is the kernel's, not the
            # user's.
            device = os.stat(f"/proc/{pid}/root/").st_dev  # noqa: PTH116 - Path drops the slash
            namespace = Path(f"/proc/{pid}/ns/mnt").stat().st_ino
        except OSError:
            return None
        return Process(pid, device, namespace)

    def processes(self) -> tuple[Process, ...]:
        """Look at all processes."""
        return tuple(found for pid in _pids() if (found := self.process(pid)) is not None)

    def pod_of(self, pid: int) -> str:
        """Return the pod uid in a process's cgroup, or the empty string."""
        try:
            with Path(f"/proc/{pid}/cgroup").open(encoding="utf-8", errors="replace") as file:
                match = cgroups.POD.search(file.read(_CGROUP_LIMIT))
        except OSError:
            return ""
        return match.group(1).replace("_", "-") if match else ""

    def open_pidfd(self, pid: int) -> int:
        """Open a descriptor that becomes readable when the process ends; the caller closes it."""
        return os.pidfd_open(pid)

    def keep_namespace(self, pid: int) -> tuple[int, int]:
        """Open a process's mount namespace, so that no other gets its number; and say that.

        A number is free again with the last process and descriptor (namespaces(7)).
        """
        descriptor = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        return descriptor, os.fstat(descriptor).st_ino

    def began(self, pid: int) -> int:
        """Say when a process began, in microseconds since 1970; 0 when it is gone."""
        try:
            # The name, in brackets, may hold anything; field 22 is the 20th after it.
            text = Path(f"/proc/{pid}/stat").read_bytes()
            ticks = int(text.rpartition(b")")[2].split()[19])
        except (OSError, ValueError, IndexError):
            return 0
        since_boot = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return since_boot // 1000 + ticks * 1_000_000 // _TICKS

    def kill(self, pid: int) -> None:
        """Kill a process; fine when it is gone."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            os.close(descriptor)

    def beside(self, pid: int) -> tuple[int, ...]:
        """Name the others in the cgroup of a container's first process."""
        return cgroups.beside(pid)

    def kill_beside(self, pid: int) -> int:
        """Kill the others in the cgroup of a container's first process; how many there were."""
        return cgroups.kill_beside(pid)

    def freeze(self, pid: int) -> None:
        """Freeze the container of a first process."""
        cgroups.freeze(pid)

    def thaw(self, pid: int) -> None:
        """Let the container of a first process go on; fine when it does."""
        cgroups.thaw(pid)

    def is_frozen(self, pid: int) -> bool:
        """Say whether the container of a first process is frozen."""
        return cgroups.is_frozen(pid)
