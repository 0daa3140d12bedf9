"""One node: a set of namespaces in which containerd and kubelet run, on a disk of its own.

Killing the one recorded process ends all of it at once, as a power cut does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local import cgroups, network, pki, process, render, toolchain
from deploy.local.paths import RECIPES, Node

if TYPE_CHECKING:
    from collections.abc import Sequence

_READY_SECONDS = 60.0


class NodeFailed(Exception):
    """The node did not come up, or is not up."""


def start(node: Node, machine: render.Machine) -> None:
    """Write the node's configuration and start it; its disk is kept from before."""
    crash(node)  # a dead node leaves links and cgroups behind
    _prepare_disk(node, machine)
    cgroups.create(node.cgroup)
    network.attach(node, node.cluster.known_nodes())
    tools, kubernetes = toolchain.CONTAINERD.folder(), toolchain.KUBERNETES.folder()
    namespaces = ["--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
    process.start(
        node.record,
        node.log / "init.log",
        [
            *("nsenter", f"--net={network.namespace(node)}", "unshare", *namespaces),
            *("sh", str(RECIPES / "node-init.sh")),
        ],
        render.node_environment(node, tools, kubernetes),
    )
    _wait_for_containerd(node)


def crash(node: Node) -> None:
    """End the node hard, with everything in it, and remove what only memory held."""
    init = _find_init(node)
    process.kill(node.record)
    cgroups.thaw(node.cgroup)
    while init is not None and _is_running(init):
        time.sleep(0.02)  # the distance between two looks
    cgroups.remove(node.cgroup)
    network.detach(node)


def is_running(node: Node) -> bool:
    """Whether the process that carries the node runs."""
    return process.read_alive(node.record) is not None


def enter(node: Node, command: Sequence[str]) -> list[str]:
    """The command line that runs the command as root inside the node."""
    init = _find_init(node)
    if init is None:
        raise NodeFailed(f"{node.name} is not running: make node-up N={node.number}")
    path = "PATH=/run/node/containerd:/run/node/kubernetes:/usr/local/sbin:/usr/local/bin"
    return [
        *("nsenter", f"--target={init}", "--mount", "--pid", "--net", "--uts", "--ipc", "--"),
        *("env", f"{path}:/usr/sbin:/usr/bin:/sbin:/bin", *command),
    ]


def load_image(node: Node, archive: Path) -> None:
    """Import an archive into the node's containerd, under the names that it carries."""
    importing = enter(node, ["ctr", "-n", "k8s.io", "images", "import", "-"])
    with archive.open("rb") as content:
        done = subprocess.run(importing, stdin=content, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NodeFailed(f"{node.name}: importing {archive.name}: {done.stderr.strip()}")


def tag_image(node: Node, name: str, other: str) -> None:
    """Give an image of the node a second name."""
    tagging = ["ctr", "-n", "k8s.io", "images", "tag", "--force", name, other]
    subprocess.run(enter(node, tagging), check=True, capture_output=True)


def _prepare_disk(node: Node, machine: render.Machine) -> None:
    for folder in ("etc-work", "var/log/pods", "var/log/containers", "var/lib/stoppablecontainer"):
        (node.disk / folder).mkdir(parents=True, exist_ok=True)
    for folder in ("kubernetes", "containerd", "cni/net.d", "nri"):
        (node.disk / "etc" / folder).mkdir(parents=True, exist_ok=True)
        # Opaque: what the machine itself keeps there must not reach the node.
        owned = node.disk / "etc" / Path(folder).parts[0]
        os.setxattr(owned, "trusted.overlay.opaque", b"y")
    node.log.mkdir(parents=True, exist_ok=True)
    scratch, run = node.disk / "var/tmp", node.disk / "var/run"
    scratch.mkdir(exist_ok=True)
    scratch.chmod(0o1777)
    if not run.is_symlink():
        run.symlink_to("/run")
    etc = node.disk / "etc"
    (etc / "cni/net.d/10-pods.conflist").write_text(render.pod_network(node))
    # Kept when it is there: a test may have changed it, and a crash must not undo that.
    if not (etc / "containerd/config.toml").exists():
        (etc / "containerd/config.toml").write_text(render.containerd(machine))
    _write_kubelet_files(node, etc / "kubernetes", machine)


def _write_kubelet_files(node: Node, folder: Path, machine: render.Machine) -> None:
    authority = pki.Authority(node.cluster.pki)
    user = f"system:node:{node.name}"
    client = authority.client(f"{node.name}-client", user, "system:nodes")
    server = authority.server(f"{node.name}-server", user, [node.name, node.address])
    shutil.copy(authority.identity.certificate, folder / "ca.crt")
    for name, identity in (("client", client), ("server", server)):
        shutil.copy(identity.certificate, folder / f"{name}.crt")
        shutil.copy(identity.key, folder / f"{name}.key")
    seen = [str(render.NODE_CONFIG / file) for file in ("ca.crt", "client.crt", "client.key")]
    (folder / "kubeconfig").write_text(render.kubeconfig(node.cluster.server, "kubelet", *seen))
    (folder / "kubelet.yaml").write_text(render.kubelet(node, machine))
    # No name server: nothing outside of the machine is to be asked.
    (folder / "resolv.conf").write_text("options timeout:1 attempts:1\n")


def _wait_for_containerd(node: Node) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if not is_running(node):
            break
        if _find_init(node) is not None:
            asked = subprocess.run(
                enter(node, ["ctr", "version"]), capture_output=True, check=False
            )
            if asked.returncode == 0:
                return
        time.sleep(0.1)  # the distance between two looks
    raise NodeFailed(f"{node.name} did not start; its logs are in {node.log}")


def _find_init(node: Node) -> int | None:
    """The node's PID 1 as the machine sees it: the only child of the recorded process."""
    outer = process.read_alive(node.record)
    if outer is None:
        return None
    try:
        children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
    except FileNotFoundError:
        return None
    return int(children[0]) if children else None


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
