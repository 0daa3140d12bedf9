"""The planner: its order, and that a cut plan goes on with exactly the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent import plan
from nodeagent.errors import Impossible
from nodeagent.model import Image, Mount, Record
from nodeagent.paths import Paths, source_of
from nodeagent.plan import Observed

if TYPE_CHECKING:
    from collections.abc import Callable

UID = "u1"
PATHS = Paths(Path("/base"))
RECORD = Record(UID, "ns", "app", "busybox", Image("sha256:i", "sha256:c"))
LOWER = (Path("/l/2"), Path("/l/1"))
EVERYTHING = frozenset(plan.folders_of(UID, PATHS))


def mount(
    target: Path, source: str = source_of(UID), fstype: str = "overlay", device: int = 9
) -> Mount:
    return Mount(1, 0, device, "/", str(target), (), (), fstype, source, ())


def after(step: plan.Step, seen: Observed) -> Observed:
    """What the world looks like when the step is done."""
    match step:
        case plan.MakeDir(path, _) | plan.MakeUpper(path, _):
            return replace(seen, folders=seen.folders | {path})
        case plan.RemoveDir(path) | plan.RemoveTree(path):
            assert not any(m.target == str(path) for m in seen.mounts)
            return replace(seen, folders=seen.folders - {path})
        case plan.SaveRecord(record):
            return replace(seen, record=record)
        case plan.Overlay(source, target, _, upper, work):
            assert {target, upper, work} <= seen.folders
            assert seen.record is not None
            return replace(seen, mounts=(*seen.mounts, mount(target, source)))
        case plan.Unmount(target):
            assert not any(m.target.startswith(f"{target}/") for m in seen.mounts)
            last = max(i for i, m in enumerate(seen.mounts) if m.target == str(target))
            return replace(seen, mounts=seen.mounts[:last] + seen.mounts[last + 1 :])
        case plan.Unpin():
            return seen
        case plan.Forget():
            return Observed(None, seen.folders - {PATHS.root(UID)})


def ensure(seen: Observed) -> tuple[plan.Step, ...]:
    return plan.ensure(seen.record or RECORD, LOWER, seen, PATHS)


def release(seen: Observed) -> tuple[plan.Step, ...]:
    return plan.release(UID, seen, PATHS)


def remove(seen: Observed) -> tuple[plan.Step, ...]:
    return plan.remove(UID, seen, PATHS)


NEW = Observed(None, frozenset())
MOUNTED = Observed(RECORD, EVERYTHING, (mount(PATHS.rootfs(UID)),))
REBOOTED = Observed(RECORD, EVERYTHING)
STACKED = replace(
    MOUNTED,
    mounts=(
        mount(PATHS.rootfs(UID)),
        mount(PATHS.rootfs(UID)),
        mount(PATHS.rootfs(UID) / "a", "x", "tmpfs", 10),
        mount(PATHS.rootfs(UID) / "a/b", "x", "tmpfs", 11),
    ),
)
CASES = [
    (ensure, NEW),
    (ensure, REBOOTED),
    (release, MOUNTED),
    (release, STACKED),
    (remove, REBOOTED),
    (remove, replace(REBOOTED, record=None)),
]


@pytest.mark.parametrize(("planner", "start"), CASES)
def test_a_cut_plan_goes_on_with_exactly_the_rest(
    planner: Callable[[Observed], tuple[plan.Step, ...]], start: Observed
) -> None:
    steps = planner(start)
    assert steps
    seen = start
    for done, step in enumerate(steps):
        rest = planner(seen)
        # Unpin leaves no trace that a plan could see: doing it twice is its way of being
        # idempotent.
        if not (done and isinstance(steps[done - 1], plan.Unpin)):
            assert rest == steps[done:]
        seen = after(step, seen)
    assert planner(seen) == ()


@given(st.frozensets(st.sampled_from(sorted(EVERYTHING))), st.booleans(), st.booleans())
def test_any_half_made_root_becomes_a_mounted_one_and_then_nothing(
    folders: frozenset[Path], saved: bool, deleting: bool
) -> None:
    parents = {PATHS.root(UID)} if folders or saved else set()
    record = replace(RECORD, deleting=deleting) if saved else None
    start = Observed(record, folders | parents)
    seen = start
    for step in ensure(seen):
        seen = after(step, seen)
    assert plan.mounted(UID, seen, PATHS) is not None
    assert ensure(seen) == ()
    for planner in (release, remove):
        for step in planner(seen):
            seen = after(step, seen)
    assert seen == Observed(None, frozenset())


def test_the_record_is_there_before_the_mount_and_goes_last() -> None:
    kinds = [type(step) for step in ensure(NEW)]
    assert kinds.index(plan.SaveRecord) < kinds.index(plan.MakeUpper) < kinds.index(plan.Overlay)
    steps = remove(REBOOTED)
    assert isinstance(steps[0], plan.SaveRecord)
    assert steps[0].record.deleting
    assert isinstance(steps[-1], plan.Forget)


def test_children_are_unmounted_before_parents() -> None:
    rootfs = PATHS.rootfs(UID)
    targets = [step.target for step in release(STACKED) if isinstance(step, plan.Unmount)]
    assert targets == [rootfs / "a/b", rootfs / "a", rootfs, rootfs]


@pytest.mark.parametrize(
    "mounts",
    [
        (mount(PATHS.rootfs(UID), "tmpfs", "tmpfs"),),
        (mount(PATHS.rootfs(UID), source_of("other")),),
        (mount(PATHS.rootfs(UID)), mount(PATHS.rootfs(UID), device=10)),
        (mount(PATHS.rootfs(UID)), mount(PATHS.rootfs(UID), "tmpfs", "tmpfs")),
    ],
)
def test_what_is_not_ours_is_neither_covered_nor_unmounted(mounts: tuple[Mount, ...]) -> None:
    seen = Observed(RECORD, EVERYTHING, mounts)
    for planner in (ensure, release):
        with pytest.raises(Impossible):
            planner(seen)
