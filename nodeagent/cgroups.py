"""A container's own cgroup: who else is in it, ending them, the freezer; of version 1 and 2.

kernel.py calls it with the pid of a container's first process, which is always left alone.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import select
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nodeagent import mountinfo
from nodeagent.errors import MountError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nodeagent.model import Mount

# The last part is the container's, directly below its pod's: cgroupfs and systemd name them so.
POD = re.compile(r"pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})")
_CONTAINER = re.compile(rf"(?:/[^/]+)*/[^/]*{POD.pattern}(?:\.slice)?/(?!\.\.)[^/]+")
_LIMIT = 64 * 1024
_TREE_LIMIT = 1000  # cgroups that a container makes below its own
_FREEZE_WAIT = 2.0  # seconds; a process that waits for a disk is frozen after that


def parse(text: str, controller: str) -> str:
    """Find a process's path in /proc/PID/cgroup: of a controller, "" for version 2; or nothing."""
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if (number == "0" and not names) if not controller else controller in names.split(","):
            return path
    return ""


def folders(text: str, mounts: Iterable[Mount]) -> Iterator[tuple[str, Path]]:
    """Name the freezer's folder of version 1 and then that of version 2, where they would be."""
    for mount in mounts:
        freezer = mount.fstype == "cgroup" and "freezer" in mount.super_options
        if not freezer and mount.fstype != "cgroup2":
            continue
        path = parse(text, "freezer" if freezer else "")
        inside = path.removeprefix(mount.root) if mount.root != "/" else path
        # Anything but a pod's container is the node's own: whatever says so, it is left alone.
        if _CONTAINER.fullmatch(path) and path.startswith(mount.root):
            yield ("freezer" if freezer else "", Path(mount.target) / inside.lstrip("/"))


def _read(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(_LIMIT)


def _members(folder: Path) -> list[int]:
    with (folder / "cgroup.procs").open(encoding="ascii") as file:
        return [int(line) for line in file if line.strip() != "0"]


@functools.cache
def _mounts() -> tuple[Mount, ...]:
    # Once: the table of a busy node is long, and this part of it does not change.
    return tuple(m for m in mountinfo.read() if m.fstype in {"cgroup", "cgroup2"})


def _own(pid: int) -> tuple[str, Path]:
    """Find the cgroup that a process is in, and prove that it is."""
    with suppress(OSError):
        text = _read(Path(f"/proc/{pid}/cgroup"))
        # Version 1 first: beside it a version 2 without controllers may be mounted.
        for kind, folder in sorted(folders(text, _mounts()), reverse=True):
            with suppress(OSError):
                if pid in _members(folder):
                    return kind, folder
    raise MountError("find the container's cgroup", "", f"process {pid}", errno.ENOENT)


def _program(pid: int) -> tuple[int, int] | None:
    try:
        found = os.stat(f"/proc/{pid}/exe")  # noqa: PTH116 - the kernel's link, of this moment
    except OSError:
        return None  # a kernel thread, a zombie, or gone
    return found.st_dev, found.st_ino


def beside(pid: int) -> tuple[int, ...]:
    """Name the others in the cgroup; not the gate's other modes, which run no line of a user's.

    A probe or a hook that the kubelet has just begun through the gate would fail for nothing.
    """
    _, top = _own(pid)
    gate, found = _program(pid), []
    for number, (folder, _, _) in enumerate(os.walk(top)):
        if number > _TREE_LIMIT:
            break
        with suppress(OSError):
            found += [p for p in _members(Path(folder)) if p != pid and _program(p) != gate]
    return tuple(sorted(found))


def kill_beside(pid: int) -> int:
    """Kill the others; how many there were. Who calls repeats it until there is none."""
    others = beside(pid)
    descriptors: dict[int, int] = {}
    for other in others:
        with suppress(OSError):
            descriptors[other] = os.pidfd_open(other)
    # A number that was another's by then is not in the second list.
    for other in beside(pid) if descriptors else ():
        if other in descriptors:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptors[other], signal.SIGKILL)
    for descriptor in descriptors.values():
        os.close(descriptor)
    return len(others)


def freeze(pid: int) -> None:
    """Stop every process of the cgroup where it is; nothing of it runs when this returns."""
    kind, folder = _own(pid)
    try:
        if kind == "freezer":
            _freeze_v1(folder)
        else:
            _freeze_v2(folder)
    except OSError as error:
        with suppress(OSError):
            _write_state(kind, folder, frozen=False)
        raise MountError("freeze", "", str(folder), error.errno or errno.EIO) from error


def thaw(pid: int) -> None:
    """Let the cgroup's processes go on; fine when they do."""
    kind, folder = _own(pid)
    try:
        _write_state(kind, folder, frozen=False)
    except OSError as error:
        raise MountError("thaw", "", str(folder), error.errno or errno.EIO) from error


def is_frozen(pid: int) -> bool:
    """Say whether somebody has frozen the cgroup."""
    try:
        kind, folder = _own(pid)
        if kind == "freezer":
            return _read(folder / "freezer.state").strip() == "FROZEN"
        return "frozen 1" in _read(folder / "cgroup.events").splitlines()
    except (OSError, MountError):
        return False


def _write_state(kind: str, folder: Path, *, frozen: bool) -> None:
    if kind == "freezer":
        (folder / "freezer.state").write_text("FROZEN" if frozen else "THAWED", "ascii")
    else:
        (folder / "cgroup.freeze").write_text("1" if frozen else "0", "ascii")


def _freeze_v1(folder: Path) -> None:
    deadline, pause = time.monotonic() + _FREEZE_WAIT, 0.0001
    _write_state("freezer", folder, frozen=True)
    while _read(folder / "freezer.state").strip() != "FROZEN":
        if time.monotonic() > deadline:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        # Version 1 has no event; each look at the file makes the kernel look again, too.
        time.sleep(pause)
        pause = min(pause * 2, 0.01)


def _freeze_v2(folder: Path) -> None:
    deadline = time.monotonic() + _FREEZE_WAIT
    with (folder / "cgroup.events").open(encoding="ascii") as events:
        changed = select.poll()
        changed.register(events, select.POLLPRI)
        _write_state("", folder, frozen=True)
        while "frozen 1" not in events.read(_LIMIT).splitlines():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            changed.poll(left * 1000)
            events.seek(0)
