"""Mount tables as text, odd lines included."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nodeagent import mountinfo

DATA = Path(__file__).parents[1] / "data" / "mountinfo"


def test_a_nodes_table() -> None:
    mounts = mountinfo.parse((DATA / "node.txt").read_text())
    assert [m.target for m in mounts][:2] == ["/", "/proc"]
    assert mounts[2].propagation == ("shared:9", "master:4", "propagate_from:2")
    root = mounts[3]
    assert (root.fstype, root.source) == ("overlay", "stoppablecontainer:u1")
    assert root.device == os.makedev(0, 50)
    assert "upperdir=/u" in root.super_options


def test_odd_lines() -> None:
    mounts = {m.mount_id: m for m in mountinfo.parse((DATA / "odd.txt").read_text())}
    assert mounts[40].target == "/mnt/with space\ttab\nline\\slash"
    assert mounts[41].source == ""
    assert mounts[42].root == "/sub/dir//deleted"
    assert mounts[43].target == "/mnt/dash - dash"
    assert mounts[43].propagation == ("unbindable",)
    assert mounts[43].source == "my source"
    assert mounts[43].super_options == ("rw", "opt=a,b")
    assert mounts[44].target == "/mnt/umlaut-ä"
    assert mounts[45].device == os.makedev(1048575, 1048574)


@pytest.mark.parametrize(
    "line", ["x", "1 2 3:4 / /a rw", "1 2 3:4 / /a rw - tmpfs", "a 2 0:1 / /a rw - t s o"]
)
def test_what_is_no_line_is_an_error_and_never_skipped(line: str) -> None:
    with pytest.raises(ValueError, match=r"line|invalid literal"):
        mountinfo.parse(line)


def test_the_own_table_can_be_read_and_a_gone_process_has_none() -> None:
    assert mountinfo.read()
    assert mountinfo.read(4194304 - 1) == ()
