"""A real cluster for the end-to-end tests: kubectl as a user types it, waits with a deadline.

What changes something goes through kubectl and `make node-exec`, so that a failing test can be
repeated by hand.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tests.e2e import reader

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = "stoppablecontainer-system"
STATE_DIR = "/var/lib/stoppablecontainer"
Object = dict[str, Any]
Seen = TypeVar("Seen")


class CommandError(AssertionError):
    """A command ended with an error that the test did not ask for."""

    def __init__(self, argv: list[str], code: int, output: str) -> None:
        super().__init__(f"{' '.join(argv)}: exit code {code}\n{output}")
        self.code = code
        self.output = output


def run(argv: list[str], *, stdin: str | bytes | None = None, timeout: float = 120) -> bytes:
    """Run a command and give its standard output; its exit code must be 0."""
    sent = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        argv, input=sent, capture_output=True, timeout=timeout, check=False, cwd=ROOT
    )
    if done.returncode:
        raise CommandError(
            argv, done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")
        )
    return done.stdout


def eventually(
    look: Callable[[], Seen | None],
    *,
    what: str,
    deadline: float = 120,
    explain: Callable[[], str] | None = None,
) -> Seen:
    """Look until there is something to see; fail with `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > end:
            raise AssertionError(
                f"not within {deadline:g} s: {what}\n{explain() if explain else ''}"
            )
        time.sleep(0.1)  # the one pause between two looks at a world that sends no event


@dataclass(frozen=True)
class Cluster:
    """The cluster of `kubeconfig`; nodes are counted from 1 in the order of their names."""

    kubectl_path: str
    kubeconfig: str

    def kubectl(self, *args: str, stdin: str | bytes | None = None, timeout: float = 120) -> str:
        """Run kubectl, with its output as text."""
        argv = [self.kubectl_path, "--kubeconfig", self.kubeconfig, *args]
        return run(argv, stdin=stdin, timeout=timeout).decode("utf-8", "replace")

    def refused(self, *args: str, stdin: str | None = None) -> str:
        """Run kubectl for something that must be refused, and give the refusal's text."""
        try:
            said = self.kubectl(*args, stdin=stdin)
        except CommandError as error:
            return error.output
        raise AssertionError(f"kubectl {' '.join(args)} was not refused:\n{said}")

    def get(self, kind: str, name: str, namespace: str = "") -> Object | None:
        """One object, or None when it is not there."""
        found: Object | None = reader.read(self.kubeconfig, kind, name, namespace)
        return found

    def objects(self, kind: str, namespace: str, selector: str = "") -> list[Object]:
        """All objects of a kind in a namespace."""
        return list(reader.read(self.kubeconfig, kind, "", namespace, selector)["items"])

    def apply(self, *objects: Object) -> None:
        """`kubectl apply` of objects, refused fields and all."""
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(one) for one in objects))

    def nodes(self) -> list[str]:
        """The names of the nodes, sorted."""
        out = self.kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}")
        return sorted(out.split())

    def node_exec(self, node: str, command: str, *, timeout: float = 120) -> str:
        """Run a shell command as root inside a node's namespaces."""
        number = str(self.nodes().index(node) + 1)
        argv = ["make", "-s", "--no-print-directory", "node-exec", f"N={number}", f"CMD={command}"]
        return run(argv, timeout=timeout).decode("utf-8", "replace")

    def agent_pod(self, node: str) -> Object | None:
        """The node agent's pod on a node, when it is there and not on its way out."""
        pods = self.objects("pods", SYSTEM, "app.kubernetes.io/component=agent")
        here = [pod for pod in pods if pod["spec"].get("nodeName") == node]
        return next((pod for pod in here if "deletionTimestamp" not in pod["metadata"]), None)

    def agents_settled(self) -> bool:
        """Whether every node has the agent that the DaemonSet now asks for, and no older one."""
        found = self.get("daemonset", "stoppablecontainer-agent", SYSTEM) or {}
        status = found.get("status", {})
        wanted = status.get("desiredNumberScheduled")
        return bool(
            status.get("observedGeneration") == found.get("metadata", {}).get("generation")
            and status.get("updatedNumberScheduled", 0) == wanted
            and status.get("numberAvailable", 0) == wanted
            and len(self.objects("pods", SYSTEM, "app.kubernetes.io/component=agent")) == wanted
        )

    def agent_ready(self, node: str) -> bool:
        """Whether a pod of the agent on this node is Ready and the controller has seen it."""
        found = self.get("node", node) or {}
        labels = found.get("metadata", {}).get("labels", {})
        pod = self.agent_pod(node)
        return bool(
            pod
            and condition(pod, "Ready").get("status") == "True"
            and labels.get("stoppablecontainer.xtlsoft.top/agent") == "ready"
        )


def condition(found: Object, kind: str) -> Object:
    """The condition of this type, or an empty one."""
    conditions = found.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == kind), {})


def free_millicores(cluster: Cluster, node: str) -> int:
    """What the scheduler still has to give on a node."""
    found = cluster.get("node", node) or {}
    left = millicores_of(found["status"]["allocatable"]["cpu"])
    out = cluster.kubectl(
        "get", "pods", "-A", "-o", "json", f"--field-selector=spec.nodeName={node}"
    )
    for pod in json.loads(out)["items"]:
        if pod["status"]["phase"] in ("Pending", "Running"):
            for container in pod["spec"]["containers"]:
                asked = container.get("resources", {}).get("requests", {})
                left -= millicores_of(asked.get("cpu", "0"))
    return left


def millicores_of(quantity: str) -> int:
    return int(quantity[:-1]) if quantity.endswith("m") else int(quantity) * 1000


def from_environment() -> Cluster:
    """The cluster that `make kubeconfig` names, with the kubectl of `make kubectl-path`."""
    kubeconfig = (
        os.environ.get("KUBECONFIG")
        or run(["make", "-s", "--no-print-directory", "kubeconfig"]).decode().strip()
    )
    return Cluster(kubectl_path=str(ROOT / "build" / "bin" / "kubectl"), kubeconfig=kubeconfig)
