"""Which cgroup is a container's: both versions and drivers; anything else is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeagent.cgroups import folders, parse
from nodeagent.model import Mount

UID = "0f0a4a5e-1111-4222-8333-444455556666"
OWN = f"/kubepods/burstable/pod{UID}/{'c' * 64}"
SYSTEMD = f"/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/cri-containerd-abc.scope"
V1 = f"9:name=systemd:{OWN}\n6:freezer:{OWN}\n4:cpu,cpuacct:/other\n0::/\n"


def mount(fstype: str, target: str, root: str = "/", *options: str) -> Mount:
    return Mount(1, 1, 1, root, target, ("rw",), (), fstype, fstype, ("rw", *options))


FREEZER = mount("cgroup", "/sys/fs/cgroup/freezer", "/", "freezer")
UNIFIED = mount("cgroup2", "/sys/fs/cgroup")
CPU = mount("cgroup", "/sys/fs/cgroup/cpu", "/", "cpu")


def test_each_version_has_its_line() -> None:
    assert parse(V1, "freezer") == OWN
    assert parse(V1, "cpuacct") == "/other"
    assert parse(V1, "") == "/"
    assert parse(V1, "pids") == ""
    assert parse("nonsense\n\n0::/a:b\n", "") == "/a:b"


def test_the_freezer_is_found_in_both_versions() -> None:
    freezer = Path("/sys/fs/cgroup/freezer" + OWN)
    assert list(folders(V1, [CPU, FREEZER])) == [("freezer", freezer)]
    for path in (OWN, SYSTEMD):
        assert list(folders(f"0::{path}\n", [UNIFIED])) == [("", Path("/sys/fs/cgroup" + path))]


def test_a_mount_of_a_part_names_the_rest() -> None:
    part = mount("cgroup2", "/mnt", "/node1")
    assert list(folders(f"0::/node1{OWN}", [part])) == [("", Path("/mnt" + OWN))]
    assert list(folders(f"0::{OWN}", [part])) == []


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/kubepods",
        f"/kubepods/pod{UID}",
        f"/kubepods/pod{UID}/",
        f"/kubepods/pod{UID}/..",
        f"/kubepods/pod{UID}/c/below",
        "/kubepods/pod123/c",
        f"/../pod{UID}/../x/y",
    ],
)
def test_what_is_no_container_s_is_nobody_s(path: str) -> None:
    assert list(folders(f"0::{path}\n", [UNIFIED])) == []
