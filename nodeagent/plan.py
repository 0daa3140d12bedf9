"""Decides the order of mounts, folders and records for one root; pure: facts in, steps out.

Invariant: an overlay exists only after its record, and the record goes last. Cut a plan after any
step, observe and plan again: the result is exactly the rest. agent.py observes and applies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nodeagent.errors import Impossible
from nodeagent.paths import source_of

if TYPE_CHECKING:
    from pathlib import Path

    from nodeagent.model import Mount, Record
    from nodeagent.paths import Paths

_PRIVATE = 0o700  # below are other people's setuid programs


@dataclass(frozen=True, slots=True)
class MakeDir:
    """Make one folder."""

    path: Path
    mode: int


@dataclass(frozen=True, slots=True)
class SaveRecord:
    """Write the record durably."""

    record: Record


@dataclass(frozen=True, slots=True)
class MakeUpper:
    """Make the upper with the attributes of the image's root folder."""

    path: Path
    like: Path


@dataclass(frozen=True, slots=True)
class Overlay:
    """Mount the root."""

    source: str
    target: Path
    lower: tuple[Path, ...]
    upper: Path
    work: Path


@dataclass(frozen=True, slots=True)
class Unmount:
    """Unmount what is on top at a target."""

    target: Path


@dataclass(frozen=True, slots=True)
class RemoveDir:
    """Remove an empty folder."""

    path: Path


@dataclass(frozen=True, slots=True)
class RemoveTree:
    """Remove a folder with a user's files."""

    path: Path


@dataclass(frozen=True, slots=True)
class Unpin:
    """Let the runtime have the layers back."""

    uid: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Remove admissions, record and the root's folder."""

    uid: str


Step = (
    MakeDir | SaveRecord | MakeUpper | Overlay | Unmount | RemoveDir | RemoveTree | Unpin | Forget
)


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there now for one root."""

    record: Record | None
    folders: frozenset[Path]
    mounts: tuple[Mount, ...] = ()  # at the mount point and below, in the kernel's order


def folders_of(uid: str, paths: Paths) -> tuple[Path, ...]:
    """Name every folder that a root may have, parents first."""
    return (
        paths.root(uid),
        paths.upper(uid),
        paths.upper_draft(uid),
        paths.work(uid),
        paths.instance(uid),
        paths.rootfs(uid),
    )


def mounted(uid: str, observed: Observed, paths: Paths) -> Mount | None:
    """Find the root's overlay; anything else at its place is refused."""
    here = [m for m in observed.mounts if m.target == str(paths.rootfs(uid))]
    if not here:
        return None
    if any(m.fstype != "overlay" or m.source != source_of(uid) for m in here):
        message = f"{paths.rootfs(uid)} has a mount that is not the agent's: unmount it by hand"
        raise Impossible("ForeignMount", message)
    # One superblock may show several times where shared mounts are nested; two superblocks may not
    # be.
    if len({m.device for m in here}) > 1:
        message = f"{paths.rootfs(uid)} has two overlays: stop its pods and unmount both by hand"
        raise Impossible("ForeignMount", message)
    return here[-1]


def ensure(
    record: Record, lower: tuple[Path, ...], observed: Observed, paths: Paths
) -> tuple[Step, ...]:
    """Lead to a mounted root."""
    uid, there = record.uid, observed.folders
    if mounted(uid, observed, paths) is not None:
        return ()
    steps: list[Step] = []
    if paths.root(uid) not in there:
        steps.append(MakeDir(paths.root(uid), _PRIVATE))
    if observed.record is None:
        steps.append(SaveRecord(record))
    if paths.upper(uid) not in there:
        steps.append(MakeUpper(paths.upper(uid), like=lower[0]))
    steps += [
        MakeDir(path, _PRIVATE)
        for path in (paths.work(uid), paths.instance(uid), paths.rootfs(uid))
        if path not in there
    ]
    upper, work = paths.upper(uid), paths.work(uid)
    steps.append(Overlay(source_of(uid), paths.rootfs(uid), lower, upper, work))
    return tuple(steps)


def release(uid: str, observed: Observed, paths: Paths) -> tuple[Step, ...]:
    """Lead to an unmounted root: children first, and of stacked mounts the top one."""
    mounted(uid, observed, paths)
    order = sorted(
        enumerate(observed.mounts),
        key=lambda item: (item[1].target.count("/"), item[0]),
        reverse=True,
    )
    base = paths.rootfs(uid)
    return tuple(Unmount(base / m.target[len(str(base)) :].lstrip("/")) for _, m in order)


def remove(uid: str, observed: Observed, paths: Paths) -> tuple[Step, ...]:
    """Lead from an unmounted root to nothing; the mark comes first, so a cut delete goes on."""
    steps: list[Step] = []
    if observed.record is not None and not observed.record.deleting:
        steps.append(SaveRecord(replace(observed.record, deleting=True)))
    empty = (paths.rootfs(uid), paths.instance(uid))
    full = (paths.upper_draft(uid), paths.upper(uid), paths.work(uid))
    steps += [RemoveDir(path) for path in empty if path in observed.folders]
    steps += [RemoveTree(path) for path in full if path in observed.folders]
    if paths.root(uid) in observed.folders:
        steps += [Unpin(uid), Forget(uid)]
    return tuple(steps)
