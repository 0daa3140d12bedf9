"""The cgroups that a node's kubelet may use: made before it starts, removed after it ended.

Both hierarchies are known: version 1 has one tree for each controller, version 2 one for all.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path("/sys/fs/cgroup")
_REMOVE_SECONDS = 10.0


def is_unified(root: Path = ROOT) -> bool:
    """Version 2 has this file at its root; version 1 keeps a folder for each controller there."""
    return (root / "cgroup.controllers").exists()


def create(cgroup: str, root: Path = ROOT) -> None:
    """Make the cgroup in every tree, ready for children with limits."""
    for tree in _trees(root):
        folder = tree
        for part in Path(cgroup).parts:
            _delegate(folder)
            folder = folder / part
            folder.mkdir(exist_ok=True)
            _copy_cpuset(folder)
        _delegate(folder)


def thaw(cgroup: str, root: Path = ROOT) -> None:
    """Let what is frozen die of the SIGKILL that it has got: version 1 keeps it until then."""
    for state in sorted((root / "freezer" / cgroup).rglob("freezer.state")):
        with suppress(OSError):  # gone by now
            state.write_text("THAWED")


def remove(cgroup: str, root: Path = ROOT) -> None:
    """Kill what is left in the cgroup, then remove it with all its children."""
    for tree in (root, *(folder for folder in root.iterdir() if folder.is_dir())):
        # In a hybrid, runc makes cgroups in the version 2 tree, too.
        _remove_folder(tree / cgroup)


def _trees(root: Path) -> Iterator[Path]:
    if is_unified(root):
        yield root
        return
    for tree in sorted(root.iterdir()):
        # Links such as cpu,cpuacct name a tree twice; a hybrid's empty version 2 tree is skipped.
        if tree.is_dir() and not tree.is_symlink() and not is_unified(tree):
            yield tree


def _delegate(folder: Path) -> None:
    """Version 2: children get only the controllers that their parent hands down."""
    control = folder / "cgroup.subtree_control"
    if not control.exists():
        return
    for controller in (folder / "cgroup.controllers").read_text().split():
        try:
            control.write_text(f"+{controller}")
        except OSError as error:
            # Some controllers cannot be handed down (rt processes): kubelet names a needed one.
            if error.errno not in (errno.EINVAL, errno.EBUSY, errno.ENOTSUP):
                raise


def _copy_cpuset(folder: Path) -> None:
    """Version 1: a new cpuset has no processors, and nothing can be put into it."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        own, parents = folder / name, folder.parent / name
        version_1 = (folder / "cgroup.clone_children").exists()
        if version_1 and own.exists() and not own.read_text().strip():
            own.write_text(parents.read_text())


def _remove_folder(folder: Path) -> None:
    if not folder.is_dir():
        return
    for child in folder.iterdir():
        if child.is_dir():
            _remove_folder(child)
    deadline = time.monotonic() + _REMOVE_SECONDS
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            # A killed process leaves its cgroup a moment after the kill.
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            _kill_members(folder)
            time.sleep(0.02)  # the distance between two looks
        else:
            return


def _kill_members(folder: Path) -> None:
    thaw = folder / "freezer.state"
    if thaw.exists():
        thaw.write_text("THAWED")
    for pid in (folder / "cgroup.procs").read_text().split():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            continue
