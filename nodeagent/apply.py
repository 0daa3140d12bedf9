"""Carries the steps of a plan out, one kernel effect each; has no opinions.

agent.py calls it with a plan; what it changes is seen by the next observation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from nodeagent import plan, records

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nodeagent.doors import Kernel, Runtime
    from nodeagent.paths import Paths


def observe(uid: str, kernel: Kernel, paths: Paths) -> plan.Observed:
    """Read record, folders and mounts of one root."""
    base = str(paths.rootfs(uid))
    return plan.Observed(
        record=records.read_record(paths, uid),
        folders=frozenset(p for p in plan.folders_of(uid, paths) if kernel.exists(p)),
        mounts=tuple(
            m for m in kernel.mounts() if m.target == base or m.target.startswith(base + "/")
        ),
    )


def apply(steps: Iterable[plan.Step], kernel: Kernel, runtime: Runtime, paths: Paths) -> None:
    """Run the steps in their order; the first failure ends it."""
    for step in steps:
        _apply_one(step, kernel, runtime, paths)


def _apply_one(step: plan.Step, kernel: Kernel, runtime: Runtime, paths: Paths) -> None:
    match step:
        case plan.MakeDir(path, mode):
            kernel.make_dir(path, mode)
        case plan.SaveRecord(record):
            records.write_record(paths, record)
        case plan.MakeUpper(path, like):
            kernel.make_upper(path, like)
        case plan.Overlay(source, target, lower, upper, work):
            kernel.mount_overlay(source, target, lower, upper, work)
        case plan.Unmount(target):
            kernel.unmount(target)
        case plan.RemoveDir(path):
            kernel.remove_dir(path)
        case plan.RemoveTree(path):
            kernel.remove_tree(path)
        case plan.Unpin(uid):
            runtime.unpin(uid)
        case plan.Forget(uid):
            records.forget(paths, uid)
        case _:
            assert_never(step)
