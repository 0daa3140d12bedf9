"""The whole cluster: brings it to where it is wanted, from whatever state it is in.

`up` starts only what does not run, so it also repairs: after a crash of the machine, of a node or
of one process. What etcd and the nodes' disks hold is kept until `down`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from deploy.local import (
    cgroups,
    controlplane,
    debian,
    images,
    network,
    node,
    paths,
    render,
    toolchain,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from deploy.local.paths import Cluster, Node

T = TypeVar("T")
R = TypeVar("R")

_READY_SECONDS = 120.0
_OVERLAY_CAPABLE = ("ext2/ext3", "xfs", "btrfs")


class ClusterFailed(Exception):
    """The cluster cannot be brought up here, or did not come up."""


class Progress:
    """Says what was done and how long it took, from the first line on."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def say(self, text: str) -> None:
        """Print one line."""
        print(f"[{time.monotonic() - self._started:6.1f} s] {text}", flush=True)


def up(cluster: Cluster, wanted: int) -> None:
    """Start what is missing of the control plane and of nodes 1 to `wanted`; wait for Ready."""
    progress = Progress()
    nodes = [cluster.node(number) for number in range(1, wanted + 1)]
    with _lock(cluster):
        was_running = controlplane.is_running(cluster)
        missing = [one for one in nodes if not node.is_running(one)]
        _check_machine(cluster)
        debian.ensure_tools()
        toolchain.ensure(toolchain.CLUSTER_SETS)
        archives = images.ensure_test_images()
        progress.say("programs and images are there")
        _in_parallel(
            [one for one in nodes if one not in missing],
            lambda one: _load_fresh(one, archives, progress),
        )
        if was_running and not missing:
            progress.say(f"cluster {cluster.name} is running already: {cluster.kubeconfig}")
            return
        network.create_bridge(cluster)
        started = controlplane.start(cluster)
        progress.say(f"control plane: started {', '.join(started) or 'nothing, all of it runs'}")
        _in_parallel(missing, lambda one: _start_node(one, archives, progress))
    progress.say(f"cluster {cluster.name} is up: export KUBECONFIG={cluster.kubeconfig}")
    progress.say(f"kubectl and the other programs: export PATH={paths.BIN_DIR}:$PATH")


def down(cluster: Cluster) -> None:
    """End everything and remove every trace of the cluster."""
    progress = Progress()
    with _lock(cluster):
        nodes = cluster.known_nodes()
        _in_parallel(nodes, node.crash)
        controlplane.stop(cluster)
        cgroups.remove(cluster.cgroup)
        network.remove_bridge(cluster)
        if cluster.state.exists():
            shutil.rmtree(cluster.state)
    _lock_file(cluster).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        paths.STATE.rmdir()  # the last cluster's; others may live there
    progress.say(f"cluster {cluster.name} is gone ({len(nodes)} nodes)")


def crash_node(one: Node) -> None:
    """End a node as a power cut does."""
    with _lock(one.cluster):
        if one not in one.cluster.known_nodes():
            raise ClusterFailed(f"there is no {one.name}")
        node.crash(one)
    print(f"{one.name} crashed; make node-up N={one.number} brings it back")


def start_node(one: Node) -> None:
    """Bring a node back, or add one."""
    progress = Progress()
    with _lock(one.cluster):
        if not controlplane.is_running(one.cluster):
            raise ClusterFailed(f"cluster {one.cluster.name} is not running: make cluster-up")
        if node.is_running(one):
            progress.say(f"{one.name} is running already")
            return
        _start_node(one, images.ensure_test_images(), progress)


def load_image(cluster: Cluster, archive: Path) -> None:
    """Import an archive into all running nodes."""
    _in_parallel(_running(cluster), lambda one: node.load_image(one, archive))


def tag_image(cluster: Cluster, name: str, other: str) -> None:
    """Give an image a second name on all running nodes."""
    _in_parallel(_running(cluster), lambda one: node.tag_image(one, name, other))


def _running(cluster: Cluster) -> list[Node]:
    running = [one for one in cluster.known_nodes() if node.is_running(one)]
    if not running:
        raise ClusterFailed(f"cluster {cluster.name} has no running node: make cluster-up")
    return running


def kubectl(cluster: Cluster, *arguments: str) -> list[str]:
    """A kubectl command line for this cluster."""
    program = toolchain.program(toolchain.KUBERNETES, "kubectl")
    return [str(program), f"--kubeconfig={cluster.kubeconfig}", *arguments]


def _start_node(one: Node, archives: Sequence[Path], progress: Progress) -> None:
    began = datetime.now(UTC)
    machine = render.Machine(cgroups.is_unified(), render.may_lower_oom_score(_own_status()))
    node.start(one, machine)
    progress.say(f"{one.name}: containerd runs")
    _load_fresh(one, archives, progress)
    _wait_until_ready(one, began)
    progress.say(f"{one.name}: Ready")


def _load_fresh(one: Node, archives: Sequence[Path], progress: Progress) -> None:
    fresh = [archive for archive in archives if not _mark(one, archive).exists()]
    for archive in fresh:
        node.load_image(one, archive)
        _mark(one, archive).parent.mkdir(exist_ok=True)
        _mark(one, archive).touch()
    if fresh:
        progress.say(f"{one.name}: {len(fresh)} images loaded")


def _mark(one: Node, archive: Path) -> Path:
    """Says that the node's disk holds the archive; its name carries the recipe's digest."""
    return one.state / "images" / archive.name


def _wait_until_ready(one: Node, began: datetime) -> None:
    """Ready, and heard of since it was started: a crashed node counts as Ready for a while."""
    objects = [f"node/{one.name}", f"lease/{one.name}", "--namespace=kube-node-lease"]
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        asked = subprocess.run(
            kubectl(one.cluster, "get", *objects, "-o", "json"),
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode == 0:
            state, lease = json.loads(asked.stdout)["items"]
            if is_ready_since(state, lease, began):
                return
        if not node.is_running(one):
            break
        time.sleep(0.2)  # the distance between two looks
    raise ClusterFailed(f"{one.name} is not Ready; its logs are in {one.log}")


def is_ready_since(one: dict[str, Any], lease: dict[str, Any], began: datetime) -> bool:
    """Whether a node is Ready by its own word, and its lease was renewed after `began`."""
    renewed = datetime.fromisoformat(lease["spec"]["renewTime"])
    # Conditions carry whole seconds only.
    reported = began.replace(microsecond=0)
    return renewed > began and any(
        condition["type"] == "Ready"
        and condition["status"] == "True"
        and datetime.fromisoformat(condition["lastHeartbeatTime"]) >= reported
        for condition in one["status"]["conditions"]
    )


def _in_parallel(items: Sequence[T], work: Callable[[T], R]) -> list[R]:
    with ThreadPoolExecutor(max_workers=max(len(items), 1)) as pool:
        return list(pool.map(work, items))


def _check_machine(cluster: Cluster) -> None:
    paths.STATE.mkdir(parents=True, exist_ok=True)
    for other in paths.STATE.iterdir():
        if not other.is_dir() or other.name == cluster.name:
            continue
        if paths.named_cluster(other.name).index == cluster.index:
            raise ClusterFailed(f"{cluster.name} shares its network with {other.name}: rename")
    asked = ["stat", "--file-system", "--format=%T", str(paths.STATE)]
    kind = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    if kind not in _OVERLAY_CAPABLE:
        raise ClusterFailed(
            f"{paths.STATE} lies on {kind}, which overlayfs cannot write to; "
            "mount an ext4 or xfs file system there"
        )


def _own_status() -> str:
    return Path("/proc/self/status").read_text()


def _lock_file(cluster: Cluster) -> Path:
    return paths.STATE / f".{cluster.name}.lock"


@contextlib.contextmanager
def _lock(cluster: Cluster) -> Iterator[None]:
    """One command at a time changes a cluster."""
    paths.STATE.mkdir(parents=True, exist_ok=True)
    with _lock_file(cluster).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
