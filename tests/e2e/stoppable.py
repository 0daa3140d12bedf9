"""One StoppableContainer in the hands of a user: start, stop, look, exec, all by kubectl."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.e2e.cluster import STATE_DIR, Object, condition, eventually

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster

API_VERSION = "stoppablecontainer.xtlsoft.top/v1alpha1"
HOLD = ["sleep", "1000000"]


def manifest(
    name: str,
    namespace: str,
    *,
    image: str = "busybox:1",
    running: bool = True,
    template: Object | None = None,
    **container: Any,
) -> Object:
    """A StoppableContainer in the seed's short form; `template` adds to spec.template."""
    return {
        "apiVersion": API_VERSION,
        "kind": "StoppableContainer",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "running": running,
            "template": {"container": {"image": image, **container}, **(template or {})},
        },
    }


def pod_manifest(name: str, namespace: str, *containers: Object, **spec: Any) -> Object:
    """A StoppableContainer in the pod form; the first container gets the kept root."""
    wanted = manifest(name, namespace)
    named = [
        {"name": f"c{number}", "image": "busybox:1", **one} for number, one in enumerate(containers)
    ]
    wanted["spec"]["template"] = {
        "spec": {"terminationGracePeriodSeconds": 1, "containers": named, **spec}
    }
    return wanted


@dataclass(frozen=True)
class Stoppable:
    """A StoppableContainer that exists in the cluster."""

    cluster: Cluster
    namespace: str
    name: str

    def get(self) -> Object:
        found = self.cluster.get("stoppablecontainer", self.name, self.namespace)
        assert found, f"StoppableContainer {self.name} is gone"
        return found

    def instance(self) -> Object | None:
        return self.cluster.get("stoppablecontainerinstance", self.name, self.namespace)

    def consumer(self) -> Object | None:
        return self.cluster.get("pod", self.name, self.namespace)

    def container(self) -> Object:
        """Kubelet's word about the first container of the pod that there is."""
        pod = self.consumer()
        assert pod
        found: Object = pod["status"]["containerStatuses"][0]
        return found

    def provider(self) -> Object | None:
        return self.cluster.get("pod", f"{self.name}-provider", self.namespace)

    @property
    def node(self) -> str:
        return str(self.get()["status"]["node"])

    @property
    def uid(self) -> str:
        return str(self.get()["metadata"]["uid"])

    def patch(self, **spec: Any) -> None:
        """Merge into the spec."""
        patch = json.dumps({"spec": spec})
        self._on("patch", "stoppablecontainer", self.name, "--type=merge", "-p", patch)

    def set_running(self, running: bool) -> None:
        self.patch(running=running)

    def delete(self) -> None:
        self._on("delete", "stoppablecontainer", self.name, "--timeout=60s")

    def pod_uid(self) -> str:
        """The uid of the pod that is meant to run; empty when none is."""
        metadata = (self.consumer() or {}).get("metadata", {})
        return "" if "deletionTimestamp" in metadata else str(metadata.get("uid", ""))

    def first_process(self) -> int:
        """The container's PID 1, by its number on the node.

        Numbers begin anew at 32768, so it need not be the lowest.
        """
        script = (
            f"for process in {' '.join(map(str, self.processes()))}; do"
            " grep -qs '^NSpid:.*[[:space:]]1$' /proc/$process/status && echo $process; done; true"
        )
        (first,) = self.cluster.node_exec(self.node, script).split()
        return int(first)

    def processes(self) -> list[int]:
        """Every process whose `/` is the kept root, by its number on the node."""
        rootfs = f"{STATE_DIR}/instances/{self.uid}/rootfs"
        script = (
            f"mountpoint -q {rootfs} || exit 0; device=$(stat -c %d {rootfs}/);"
            " stat -c '%d %n' /proc/[0-9]*/root/ 2>/dev/null | while read -r found process; do"
            ' [ "$found" = "$device" ] && echo $process; done; true'
        )
        lines = self.cluster.node_exec(self.node, script).split()
        return sorted(int(line.split("/")[2]) for line in lines)

    def wait_phase(self, phase: str, *, deadline: int = 120) -> None:
        """Wait as a user does; the failure names what the object and its pods say."""
        eventually(
            lambda: self.phase() == phase,
            what=f"phase {phase} of {self.name}",
            deadline=deadline,
            explain=self.explain,
        )

    def wait_condition(self, kind: str, status: str, reason: str, *, deadline: int = 120) -> Object:
        """Wait for a condition with this status and reason, and give it."""

        def look() -> Object | None:
            seen = condition(self.get(), kind)
            return seen if (seen.get("status"), seen.get("reason")) == (status, reason) else None

        return eventually(
            look,
            what=f"condition {kind}={status} ({reason}) of {self.name}",
            deadline=deadline,
            explain=self.explain,
        )

    def is_ready(self) -> bool:
        found = self.get()
        ready = condition(found, "Ready")
        current = ready.get("observedGeneration") == found["metadata"]["generation"]
        return current and ready.get("status") == "True"

    def wait_ready(self, *, deadline: int = 120) -> None:
        eventually(
            self.is_ready,
            what=f"{self.name} Ready",
            deadline=deadline,
            explain=self.explain,
        )

    def phase(self) -> str:
        """The phase, once it speaks of what was asked for last; as `kubectl wait` looks."""
        found = self.get()
        status = found.get("status", {})
        current = status.get("observedGeneration") == found["metadata"]["generation"]
        return str(status.get("phase")) if current else ""

    def start(self) -> None:
        self.set_running(True)
        self.wait_phase("Running")
        self.wait_ready()

    def stop(self) -> None:
        """Stop, and check that `Stopped` is no lie: no consumer, provider still there."""
        self.set_running(False)
        self.wait_phase("Stopped")
        assert self.consumer() is None
        assert self.provider() is not None

    def rest(self) -> None:
        """Stop where the pod stays: it is there, and neither it nor anybody calls it ready."""
        before = self.pod_uid()
        self.set_running(False)
        self.wait_phase("Stopped")
        assert self.pod_uid() == before, self.explain()

        def is_unready() -> bool:
            # Kubelet may write what it knew before over it once, when both come at once.
            return bool(condition(self.consumer() or {}, "Ready").get("status") == "False")

        eventually(is_unready, what="a pod that is not Ready", deadline=60, explain=self.explain)

    def runs(self) -> int:
        """The lines of /runs in the kept root, read on the node: nothing needs to run."""
        status = self.get().get("status", {})
        if not status.get("hostPath"):
            return 0
        runs = f"cat {status['hostPath']}/runs 2>/dev/null | wc -l"
        return int(self.cluster.node_exec(status["node"], runs))

    def exec(self, *command: str, stdin: str | bytes | None = None) -> str:
        """Plain `kubectl exec`; what installs packages takes its time on a busy machine."""
        flags = ["-i"] if stdin is not None else []
        return self._on("exec", *flags, self.name, "--", *command, stdin=stdin, timeout=600)

    def sh(self, script: str) -> str:
        return self.exec("sh", "-c", script)

    def words(self, path: str) -> list[str]:
        """What is in a file of the container, nothing while there is none."""
        return self.sh(f"cat {path} 2>/dev/null; true").split()

    def wait_words(self, path: str, wanted: list[str]) -> None:
        """Wait until the command has written this: Ready is said before it has done anything."""
        eventually(
            lambda: self.words(path) == wanted,
            what=f"{path} is {wanted}",
            deadline=60,
            explain=lambda: f"it is {self.words(path)}\n{self.explain()}",
        )

    def logs(self, *flags: str) -> str:
        return self._on("logs", self.name, *flags)

    def _on(self, *args: str, stdin: str | bytes | None = None, timeout: float = 120) -> str:
        return self.cluster.kubectl("-n", self.namespace, *args, stdin=stdin, timeout=timeout)

    def assert_on_kept_root(self) -> None:
        """The consumer's `/` IS the overlay that the agent mounted, seen from the node."""
        host = self.cluster.node_exec(
            self.node, f"stat -c %d {STATE_DIR}/instances/{self.uid}/rootfs/"
        ).strip()
        inside = self.sh("stat -c %d /").strip()
        assert inside == host, f"/ is device {inside}, the kept root is {host}"

    def write_marker(self, size: int = 4096) -> str:
        """Write random bytes into `/` and give their SHA-256, as the container saw them."""
        return self.sh(f"head -c {size} /dev/urandom > /marker && sha256sum /marker").split()[0]

    def assert_marker(self, digest: str) -> None:
        """Marker intact, `/` lists, a new file can be made: after the page cache was dropped.

        A root whose layers are gone still answers from the cache.
        """
        self.cluster.node_exec(self.node, "echo 3 > /proc/sys/vm/drop_caches")
        seen = self.sh("ls / /bin >/dev/null && touch /probe && rm /probe && sha256sum /marker")
        assert seen.split()[0] == digest, f"{seen}\n{self.sh('ls -l /marker')}\n{self.explain()}"

    def explain(self) -> str:
        """What a person would look at first."""
        pods = self._on("get", "pods", "-o", "wide")
        found = json.dumps(self.get().get("status", {}), indent=1)
        events = self._on("get", "events", "--sort-by=.lastTimestamp")
        return f"{found}\n{pods}\n{events[-4000:]}"
