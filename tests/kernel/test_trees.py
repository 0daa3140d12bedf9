"""Removing trees that a hostile user has filled."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from nodeagent import linux, mountinfo, trees
from nodeagent.errors import MountError


@pytest.fixture
def tree(place: Path) -> Path:
    made = place / "upper"
    made.mkdir()
    (place / "outside").mkdir()
    (place / "outside" / "precious").write_text("safe")
    return made


def test_links_are_removed_and_never_followed(tree: Path, place: Path) -> None:
    (tree / "out").symlink_to(place / "outside")
    (tree / "deep").mkdir()
    (tree / "deep" / "out").symlink_to("../../outside")
    (tree / "deep" / "file").symlink_to(place / "outside" / "precious")
    os.link(place / "outside" / "precious", tree / "hard")
    trees.remove_tree(tree)
    assert not tree.exists()
    assert (place / "outside" / "precious").read_text() == "safe"


def test_a_link_in_place_of_the_tree_is_refused(tree: Path, place: Path) -> None:
    link = place / "link"
    link.symlink_to(place / "outside")
    with pytest.raises(MountError):
        trees.remove_tree(link)
    assert (place / "outside" / "precious").exists()
    trees.remove_tree(place / "absent")


def test_depth_costs_no_descriptors_and_no_recursion(tree: Path) -> None:
    fd = os.open(tree, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=fd)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    trees.remove_tree(tree)
    assert not tree.exists()


def test_width_and_odd_things(tree: Path) -> None:
    for number in range(2000):
        (tree / f"f{number}").touch()
    os.mkfifo(tree / "fifo")
    os.mknod(tree / "whiteout", 0o020000, os.makedev(0, 0))
    os.mknod(tree / "disk", 0o060000, os.makedev(253, 253))
    socket.socket(socket.AF_UNIX).bind(str(tree / "sock"))
    (tree / "closed").mkdir(mode=0)
    (tree / os.fsdecode(b"\xff\xfe\n")).mkdir()
    (tree / ("n" * 255)).mkdir()
    (tree / "new\nline").mkdir()
    trees.remove_tree(tree)
    assert not tree.exists()


def test_immutable_and_append_only_files_go_too(tree: Path) -> None:
    (tree / "d" / "e").mkdir(parents=True)
    for name in ("d/e/file", "d/log", "top"):
        (tree / name).touch()
    try:
        subprocess.run(["chattr", "+i", "top", "d/e/file", "d/e", "d"], cwd=tree, check=True)
        subprocess.run(["chattr", "-i", "d"], cwd=tree, check=True)
        subprocess.run(["chattr", "+a", "d/log"], cwd=tree, check=True)
        subprocess.run(["chattr", "+i", "d", str(tree)], cwd=tree, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("this filesystem has no such flags")
    trees.remove_tree(tree)
    assert not tree.exists()


@pytest.mark.parametrize("where", ["m", "a/b/m"])
def test_a_mount_inside_is_never_crossed(tree: Path, place: Path, where: str) -> None:
    (tree / where).mkdir(parents=True)
    linux.mount_bind(place / "outside", tree / where)
    with pytest.raises(MountError):
        trees.remove_tree(tree)
    assert (place / "outside" / "precious").read_text() == "safe"
    for mount in mountinfo.read():  # it may have moved with its parent
        if mount.target.startswith(f"{tree}/"):
            linux.umount2(Path(mount.target))
    trees.remove_tree(tree)
    assert not tree.exists()


def test_a_file_that_is_a_mount_point_is_not_removed(tree: Path, place: Path) -> None:
    (tree / "file").touch()
    linux.mount_bind(place / "outside" / "precious", tree / "file")
    with pytest.raises(MountError, match="busy"):
        trees.remove_tree(tree)
    assert (place / "outside" / "precious").read_text() == "safe"
    linux.umount2(tree / "file")
    trees.remove_tree(tree)


def test_a_file_is_read_as_a_process_with_this_root_finds_it(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "passwd"
    (root / "etc").mkdir(parents=True)
    outside.write_text("outside")
    (root / "usr").mkdir()
    (root / "usr" / "passwd").write_text("inside")
    passwd = root / "etc" / "passwd"

    def read(limit: int = 100) -> str:
        return trees.read_below(root, "etc/passwd", limit)

    assert read() == ""
    for target in ("/usr/passwd", "../usr/passwd", "../../../../usr/passwd"):
        passwd.unlink(missing_ok=True)
        passwd.symlink_to(target)
        assert read() == "inside", target
    for target in (str(outside), "../../passwd", "/proc/self/root/etc/passwd"):
        passwd.unlink()
        passwd.symlink_to(target)
        assert read() == "", target
    assert trees.read_below(root, "usr/passwd", 5) == ""
    passwd.unlink()
    os.mkfifo(passwd)
    assert read() == ""
    passwd.unlink()
    passwd.mkdir()
    assert read() == ""
    assert trees.read_below(tmp_path / "nowhere", "etc/passwd", 100) == ""
