"""A cluster that holds its objects in memory and tells each change at once; for test_run.py."""

from __future__ import annotations

import json
import queue
import time
from typing import TYPE_CHECKING, Any

from deploy.bench.cluster import ApiError, Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

METRICS = """\
# TYPE stoppablecontainer_controller_api_writes_total counter
stoppablecontainer_controller_api_writes_total{kind="Pod",verb="create"} %d
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 1.0
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 1048576
"""


class FakeCluster(Cluster):
    """Starts and stops what it is asked to, in the modes that it knows."""

    def __init__(self, modes: set[str], *, proxies: bool = True) -> None:  # no client is made
        self.namespace = "bench-fake"
        self.pods, self.stoppables = "/pods", "/stoppables"
        self.modes = modes | {"Cold"}
        self.proxies = proxies
        self.objects: dict[str, dict[str, Any]] = {}
        self.lines: dict[str, float] = {}
        self.writes = 0
        self._streams: dict[str, list[queue.Queue[bytes]]] = {}

    def watch(self, path: str) -> Iterator[bytes]:
        """From now on; each watcher is told all."""
        stream: queue.Queue[bytes] = queue.Queue()
        self._streams.setdefault(path, []).append(stream)
        return iter(stream.get, b"")

    def _tell(self, kind: str, path: str) -> None:
        event = {"type": kind, "object": self.objects[path]}
        for stream in self._streams.get(path.rsplit("/", 1)[0], ()):
            stream.put(json.dumps(event).encode())

    def create(self, path: str, body: dict[str, Any]) -> None:
        """A pod runs at once; a StoppableContainer does what it says."""
        where = f"{path}/{body['metadata']['name']}"
        if where in self.objects:
            raise ApiError("POST", path, 409, "exists")
        self.objects[where] = json.loads(json.dumps(body))
        self.objects[where]["metadata"]["uid"] = where
        if path == self.pods:
            self._start_pod(body["metadata"]["name"], where)
        else:
            self._settle(where)

    def _start_pod(self, name: str, where: str) -> None:
        self.objects.setdefault(where, {"metadata": {"name": name}})
        ready = [{"type": "Ready", "status": "True"}]
        self.objects[where]["status"] = {"conditions": ready}
        self.lines[name] = time.time()
        self._tell("MODIFIED", where)

    def merge(self, path: str, body: dict[str, Any]) -> None:
        """The phase follows `running` at once."""
        self.objects[path]["spec"] |= body["spec"]
        self._settle(path)

    def _settle(self, where: str) -> None:
        body = self.objects[where]
        name, spec = body["metadata"]["name"], body["spec"]
        mode = spec.get("stopMode", "Cold")
        mode = mode if mode in self.modes else "Cold"
        status = body.setdefault("status", {"node": "node1"})
        status["phase"] = "Running" if spec["running"] else "Stopped"
        if spec["running"]:
            self.writes += 1
            stages = [{"name": "told", "microseconds": 900}]
            status["lastStart"] = {"mode": mode, "time": str(self.writes), "stages": stages}
            self._start_pod(name, f"{self.pods}/{name}")
        elif mode == "Cold":
            self.delete(f"{self.pods}/{name}")
        self._tell("MODIFIED", where)

    def delete(self, path: str) -> None:
        """Gone at once."""
        if path in self.objects:
            self._tell("DELETED", path)
            del self.objects[path]

    def last_line(self, pod: str) -> float | None:
        """The stamp of the latest start."""
        return self.lines.get(pod)

    def text(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """Metrics and kubelet's summary."""
        if not self.proxies:
            raise ApiError("GET", path, 403, "forbidden")
        if path.endswith("/metrics"):
            return METRICS % self.writes
        cpu = {"time": f"1970-01-01T00:00:{self.writes % 60:02}Z", "usageCoreNanoSeconds": 0}
        memory = {"workingSetBytes": 4096}
        names = [*(where.rsplit("/", 1)[1] for where in self.objects), "crowd-00-provider"]
        pods = [
            {
                "podRef": {"namespace": self.namespace, "name": name},
                "cpu": cpu,
                "memory": memory,
            }
            for name in names
        ]
        return json.dumps({"pods": pods})

    def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The product's pods."""
        items = [
            {
                "metadata": {
                    "namespace": "system",
                    "name": f"{component}-1",
                    "labels": {"app.kubernetes.io/component": component},
                },
                "spec": {"nodeName": "node1"},
            }
            for component in ("controller", "agent")
        ]
        return {"items": items}
