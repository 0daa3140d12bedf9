"""One contract for the fake kernel and the real one, then what only the real one can show."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

import pytest

from nodeagent import linux, mountinfo
from nodeagent.errors import MountError
from nodeagent.kernel import Linux
from tests.fakes.kernel import FakeKernel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nodeagent.doors import Kernel
    from tests.kernel.processes import Rooted

SOURCE = "stoppablecontainer:test"


@pytest.fixture(params=[Linux, FakeKernel], ids=["Linux", "FakeKernel"])
def kernel(request: pytest.FixtureRequest) -> Kernel:
    made: Kernel = request.param()
    return made


class Folders:
    """What an overlay needs."""

    def __init__(self, place: Path, layers: int = 1) -> None:
        self.lower = tuple(place / f"layer-{n}" for n in range(layers))
        self.upper, self.work, self.target = place / "upper", place / "work", place / "target"
        for path in (*self.lower, self.upper, self.work, self.target):
            path.mkdir()

    def mount(self, kernel: Kernel, source: str = SOURCE) -> None:
        kernel.mount_overlay(source, self.target, self.lower, self.upper, self.work)


def test_an_overlay_is_in_the_table_under_its_name(kernel: Kernel, place: Path) -> None:
    folders = Folders(place)
    assert kernel.mounted_for(SOURCE) == ()
    folders.mount(kernel)
    (mount,) = (m for m in kernel.mounts() if m.target == str(folders.target))
    assert (mount.fstype, mount.source) == ("overlay", SOURCE)
    assert mount.device == kernel.device(folders.target)
    assert mount.device != kernel.device(place)
    assert os.getpid() in kernel.mounted_for(SOURCE)
    kernel.unmount(folders.target)
    assert kernel.mounted_for(SOURCE) == ()
    assert not any(m.target == str(folders.target) for m in kernel.mounts())


def test_unmounting_what_is_not_mounted_is_an_error(kernel: Kernel, place: Path) -> None:
    folders = Folders(place)
    with pytest.raises(MountError, match=f"unmount {folders.target}: Invalid argument"):
        kernel.unmount(folders.target)


def test_a_parent_is_busy_while_a_child_is_mounted(kernel: Kernel, place: Path) -> None:
    folders = Folders(place)
    folders.mount(kernel)
    (folders.upper / "child").mkdir()
    child = folders.target / "child"
    if isinstance(kernel, FakeKernel):
        kernel.mount_foreign(child)
    else:
        linux.mount_bind(folders.work.parent / "layer-0", child)
    with pytest.raises(MountError, match="busy"):
        kernel.unmount(folders.target)
    kernel.unmount(child)
    kernel.unmount(folders.target)


def test_a_missing_layer_is_an_error_that_names_the_mount(kernel: Kernel, place: Path) -> None:
    folders = Folders(place)
    folders.lower[0].rmdir()
    with pytest.raises(MountError, match="No such file"):
        folders.mount(kernel)
    assert kernel.mounted_for(SOURCE) == ()


def test_folders_come_and_go_and_both_twice(kernel: Kernel, place: Path) -> None:
    path = place / "a"
    for _ in range(2):
        kernel.make_dir(path, 0o700)
    assert kernel.exists(path)
    (place / "link").symlink_to(path)
    assert not kernel.exists(place / "link")
    for _ in range(2):
        kernel.remove_dir(path)
    kernel.make_dir(path, 0o700)
    (path / "file").touch()
    for _ in range(2):
        kernel.remove_tree(path)
    assert not kernel.exists(path)


def test_a_mounted_folder_is_not_removed(kernel: Kernel, place: Path) -> None:
    folders = Folders(place)
    folders.mount(kernel)
    for remove in (kernel.remove_dir, kernel.remove_tree):
        with pytest.raises(MountError, match="busy"):
            remove(folders.target)
    kernel.unmount(folders.target)


def test_an_upper_looks_like_its_model(kernel: Kernel, place: Path) -> None:
    like = place / "like"
    like.mkdir()
    like.chmod(0o1751)
    kernel.make_upper(place / "upper", like)
    assert (place / "upper").stat().st_mode & 0o7777 == 0o1751


def test_the_own_process_is_there_and_an_absent_one_is_not(kernel: Kernel) -> None:
    assert kernel.process(os.getpid()) is not None
    assert any(p.pid == os.getpid() for p in kernel.processes())
    assert kernel.process(4194303) is None
    with pytest.raises(ProcessLookupError):
        kernel.open_pidfd(4194303)


@pytest.mark.parametrize("layers", [1, 2, 50])
def test_all_layers_are_seen_the_top_one_first(place: Path, layers: int) -> None:
    long = place / ("x" * 200) / ("y" * 200)  # no option string could hold fifty of these
    long.mkdir(parents=True)
    folders = Folders(long, layers)
    for number, layer in enumerate(folders.lower):
        (layer / f"of-{number}").touch()
        (layer / "top").write_text(str(number))
    folders.mount(Linux())
    assert {p.name for p in folders.target.iterdir()} == {
        "top",
        *(f"of-{n}" for n in range(layers)),
    }
    assert (folders.target / "top").read_text() == "0"
    (folders.target / "new").write_text("kept")
    Linux().unmount(folders.target)
    assert (folders.upper / "new").read_text() == "kept"


def test_the_options_that_matter_are_set(place: Path) -> None:
    folders = Folders(place)
    folders.mount(Linux())
    (mount,) = (m for m in mountinfo.read() if m.target == str(folders.target))
    assert "redirect_dir=nofollow" in mount.super_options
    assert not {"index=on", "metacopy=on", "xino=on"} & set(mount.super_options)


def test_an_upper_keeps_owner_and_attributes(place: Path) -> None:
    like = place / "like"
    like.mkdir()
    os.chown(like, 12, 34)
    os.setxattr(like, "user.colour", b"red")
    os.setxattr(like, "trusted.overlay.opaque", b"y")
    (place / "upper.new").mkdir()  # an earlier try was cut here
    Linux().make_upper(place / "upper", like)
    made = (place / "upper").stat()
    assert (made.st_uid, made.st_gid) == (12, 34)
    assert os.listxattr(place / "upper") == ["user.colour"]
    assert not (place / "upper.new").exists()


def test_a_chrooted_process_is_known_by_its_device(
    place: Path, rooted: Callable[..., Rooted]
) -> None:
    folders, kernel = Folders(place), Linux()
    folders.mount(kernel)
    device = kernel.device(folders.target)
    living = rooted(folders.target)
    assert [p.pid for p in kernel.processes() if p.root_device == device] == [living.pid]
    pidfd = kernel.open_pidfd(living.pid)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(0) == []
    living.end()
    assert poll.poll(5000)
    os.close(pidfd)
    assert kernel.process(living.pid) is None


def test_a_namespace_that_is_kept_has_its_number_for_itself(
    place: Path, rooted: Callable[..., Rooted]
) -> None:
    kernel = Linux()
    living = rooted(place, own_namespace=True)
    known = kernel.process(living.pid)
    assert known is not None
    descriptor, number = kernel.keep_namespace(living.pid)
    assert number == known.mount_namespace
    living.end()
    others = [kernel.process(rooted(place, own_namespace=True).pid) for _ in range(8)]
    assert number not in {one.mount_namespace for one in others if one}
    os.close(descriptor)
    with pytest.raises(FileNotFoundError):
        kernel.keep_namespace(living.pid)


def test_a_copy_in_another_namespace_is_found_after_the_own_is_unmounted(
    place: Path, rooted: Callable[..., Rooted]
) -> None:
    folders, kernel = Folders(place), Linux()
    folders.mount(kernel)
    living = rooted(folders.target, own_namespace=True)
    kernel.unmount(folders.target)
    assert kernel.mounted_for(SOURCE) == (living.pid,)
    living.end()
    assert kernel.mounted_for(SOURCE) == ()


def test_a_base_folder_becomes_shared_once(place: Path) -> None:
    base = place / "base"
    base.mkdir()
    linux.mount_bind(place, place)
    Linux().make_shared(base)
    first = [m for m in mountinfo.read() if m.target == str(base)]
    Linux().make_shared(base)
    assert [m for m in mountinfo.read() if m.target == str(base)] == first
    assert any(field.startswith("shared:") for field in first[-1].propagation)


def test_syncfs_works_on_both_filesystems_of_a_root(place: Path) -> None:
    folders, kernel = Folders(place), Linux()
    folders.mount(kernel)
    (folders.target / "file").write_bytes(b"x" * 100_000)
    kernel.sync(folders.target)
    kernel.sync(folders.upper)
    with pytest.raises(MountError, match="syncfs"):
        kernel.sync(place / "absent")


def test_the_pod_in_a_cgroup_is_read_in_both_spellings() -> None:
    assert Linux().pod_of(os.getpid()) == ""
    assert Linux().pod_of(4194303) == ""
