"""When a node counts as back, which processes are ours, and what the cgroup tree looks like."""

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from deploy.local import cgroups, process
from deploy.local.cluster import is_ready_since

NOON = datetime(2026, 1, 1, 12, 0, 0, 500_000, UTC)


def node(status: str, at: datetime) -> dict[str, Any]:
    heartbeat = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = {"type": "Ready", "status": status, "lastHeartbeatTime": heartbeat}
    return {"status": {"conditions": [ready]}}


def lease(at: datetime) -> dict[str, Any]:
    return {"spec": {"renewTime": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}}


def test_a_node_is_ready_when_it_says_so_after_its_start() -> None:
    later = NOON + timedelta(seconds=0.2)

    assert is_ready_since(node("True", later), lease(later), NOON)


def test_what_a_node_said_before_its_crash_does_not_count() -> None:
    before, later = NOON - timedelta(seconds=3), NOON + timedelta(seconds=0.2)

    assert not is_ready_since(node("True", before), lease(later), NOON)
    assert not is_ready_since(node("True", later), lease(before), NOON)
    assert not is_ready_since(node("Unknown", later), lease(later), NOON)


def test_a_pid_that_was_used_again_is_not_ours(tmp_path: Path) -> None:
    record = tmp_path / "x.pid"
    record.write_text(f"{os.getpid()} another-boot/1\n")

    assert process.read_alive(record) is None


def test_a_started_process_is_found_and_ended(tmp_path: Path) -> None:
    record = tmp_path / "run" / "x.pid"
    pid = process.start(record, tmp_path / "x.log", ["sleep", "60"])

    assert process.read_alive(record) == pid
    process.kill(record)
    assert process.read_alive(record) is None
    assert not record.exists()


def test_killing_what_never_ran_changes_nothing(tmp_path: Path) -> None:
    process.kill(tmp_path / "never.pid")


def test_a_zombie_counts_as_ended(tmp_path: Path) -> None:
    record = tmp_path / "x.pid"
    process.start(record, tmp_path / "x.log", ["true"])
    subprocess.run(["sleep", "0.2"], check=True)

    assert process.read_alive(record) is None


def test_version_2_is_one_tree_with_delegated_controllers(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    (tmp_path / "cgroup.subtree_control").write_text("")
    cgroups.create("ours/node1", tmp_path)

    assert cgroups.is_unified(tmp_path)
    assert (tmp_path / "ours/node1").is_dir()
    assert (tmp_path / "cgroup.subtree_control").read_text()


def test_version_1_has_a_tree_for_each_controller(tmp_path: Path) -> None:
    for tree in ("cpu", "memory"):
        (tmp_path / tree).mkdir()
    (tmp_path / "cpuacct").symlink_to("cpu")
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified/cgroup.controllers").write_text("")
    cgroups.create("ours/node1", tmp_path)

    assert not cgroups.is_unified(tmp_path)
    assert (tmp_path / "cpu/ours/node1").is_dir()
    assert (tmp_path / "memory/ours/node1").is_dir()
    assert not (tmp_path / "unified/ours").exists()


def test_removing_takes_every_tree_and_all_children(tmp_path: Path) -> None:
    for tree in ("cpu", "unified"):
        (tmp_path / tree / "ours/node1/pod").mkdir(parents=True)
    cgroups.remove("ours", tmp_path)
    cgroups.remove("ours", tmp_path)

    assert not (tmp_path / "cpu/ours").exists()
    assert not (tmp_path / "unified/ours").exists()
