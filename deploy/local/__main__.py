"""The commands behind the Makefile's targets: `python -m deploy.local <command>`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local import cluster as local
from deploy.local import controlplane, debian, images, network, node, release, toolchain
from deploy.local.paths import REPOSITORY, Cluster, cluster_from_environment

if TYPE_CHECKING:
    from collections.abc import Callable

EXPECTED = (
    controlplane.ControlPlaneFailed,
    debian.MissingPackages,
    local.ClusterFailed,
    network.NetworkTaken,
    node.NodeFailed,
    FileNotFoundError,
    RuntimeError,
    ValueError,
)


def _tools(_cluster: Cluster, _arguments: argparse.Namespace) -> None:
    debian.ensure_tools()
    toolchain.ensure(toolchain.ALL_SETS)


def _test_images(_cluster: Cluster, _arguments: argparse.Namespace) -> None:
    debian.ensure_tools()
    for archive in images.ensure_test_images():
        print(archive)


def _images(cluster: Cluster, arguments: argparse.Namespace) -> None:
    _test_images(cluster, arguments)
    for archive in images.build_project_images():
        print(archive)


def _cluster_up(cluster: Cluster, arguments: argparse.Namespace) -> None:
    local.up(cluster, arguments.nodes)


def _cluster_down(cluster: Cluster, _arguments: argparse.Namespace) -> None:
    local.down(cluster)


def _node_crash(cluster: Cluster, arguments: argparse.Namespace) -> None:
    local.crash_node(cluster.node(arguments.number))


def _node_up(cluster: Cluster, arguments: argparse.Namespace) -> None:
    local.start_node(cluster.node(arguments.number))


def _node_exec(cluster: Cluster, arguments: argparse.Namespace) -> None:
    command = arguments.shell or os.environ.get("NODE_CMD")
    if not command:
        raise ValueError("node-exec needs a command")
    entering = node.enter(cluster.node(arguments.number), ["sh", "-c", command])
    os.execvp(entering[0], entering)


def _kubeconfig(cluster: Cluster, _arguments: argparse.Namespace) -> None:
    print(cluster.kubeconfig)


def _load_image(cluster: Cluster, arguments: argparse.Namespace) -> None:
    archive = REPOSITORY / arguments.archive
    local.load_image(cluster, archive)
    print("\n".join(images.read_names(archive)))


def _deploy(cluster: Cluster, _arguments: argparse.Namespace) -> None:
    release.deploy(cluster)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(
        name: str, run: Callable[[Cluster, argparse.Namespace], None], text: str
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text)
        command.set_defaults(run=run)
        return command

    add("tools", _tools, "build the Go programs, install Debian's packages")
    add("images", _images, "build all images")
    add("test-images", _test_images, "build the test images only")
    add("cluster-up", _cluster_up, "start or repair the cluster").add_argument(
        "nodes", type=int, nargs="?", default=2
    )
    add("cluster-down", _cluster_down, "end the cluster and remove every trace of it")
    for name, run, text in (
        ("node-crash", _node_crash, "end a node as a power cut does"),
        ("node-up", _node_up, "bring a node back, or add one"),
        ("node-exec", _node_exec, "run a shell command inside a node"),
    ):
        command = add(name, run, text)
        command.add_argument("number", type=int)
        if run is _node_exec:
            command.add_argument("shell", nargs="?", help="default: the variable NODE_CMD")
    add("kubeconfig", _kubeconfig, "print the path of the kubeconfig")
    add("load-image", _load_image, "import an OCI archive into every node").add_argument(
        "archive", type=Path
    )
    add("deploy", _deploy, "install the product")
    return parser


def main() -> None:
    """Run the command; what can be expected to go wrong is one line, not a traceback."""
    arguments = _parser().parse_args()
    try:
        arguments.run(cluster_from_environment(), arguments)
    except EXPECTED as error:
        sys.exit(f"error: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: {' '.join(map(str, error.cmd))}: exit code {error.returncode}")


if __name__ == "__main__":
    main()
