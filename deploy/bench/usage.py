"""Memory, idle CPU and API writes, read through the API server; called by `run`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from deploy.bench import meters

if TYPE_CHECKING:
    from deploy.bench.cluster import Body, Cluster
    from deploy.bench.meters import Usage

PARTS = {"controller": 8080, "agent": 9445}
SELECTOR = "app.kubernetes.io/name=stoppablecontainer"
COMPONENT = "app.kubernetes.io/component"
# kubelet looks every 10 to 15 s: after this, what it last saw is all after the activity.
SETTLE = 16.0


class Product:
    """The pods of the controller and of the agents."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._pods = cluster.get("/api/v1/pods", {"labelSelector": SELECTOR})["items"]

    def of(self, component: str) -> list[Body]:
        """The pods of one of the two programs."""
        return [one for one in self._pods if one["metadata"]["labels"].get(COMPONENT) == component]

    def _metrics(self, pod: Body, component: str) -> str:
        where = pod["metadata"]
        name = f"{where['name']}:{PARTS[component]}"
        path = f"/api/v1/namespaces/{where['namespace']}/pods/{name}/proxy/metrics"
        return self._cluster.text(path)

    def writes(self) -> dict[str, float]:
        """API writes of all replicas by kind and verb."""
        total: dict[str, float] = {}
        for pod in self.of("controller"):
            for what, value in meters.writes(self._metrics(pod, "controller")).items():
                total[what] = total.get(what, 0) + value
        return total

    def usages(self) -> dict[str, list[Usage]]:
        """Each program's pods: its own account, else kubelet's."""
        found: dict[str, list[Usage]] = {}
        for component in PARTS:
            for pod in self.of(component):
                own = meters.process(self._metrics(pod, component), time.time())
                usage = own or pod_usage(self._cluster, pod)
                if usage:
                    found.setdefault(component, []).append(usage)
        return found

    def idle(self, seconds: float) -> tuple[dict[str, float], dict[str, float]]:
        """By program: the share of one core in all of its pods; the largest memory of one."""
        time.sleep(SETTLE)
        before = self.usages()
        time.sleep(seconds)
        after = self.usages()
        cpu = {component: _share(before[component], after[component]) for component in after}
        memory = {name: max(one.rss_bytes for one in usages) for name, usages in after.items()}
        return cpu, memory


def _share(before: list[Usage], after: list[Usage]) -> float:
    pairs = zip(before, after, strict=True)
    return sum(meters.cpu_share(first, last) for first, last in pairs)


def pod_usage(cluster: Cluster, pod: Body) -> Usage | None:
    """What kubelet says of a pod."""
    node = pod["spec"]["nodeName"]
    summary = json.loads(cluster.text(f"/api/v1/nodes/{node}/proxy/stats/summary"))
    where = pod["metadata"]
    return meters.pod_usage(summary, where["namespace"], where["name"])


def pods_usage(cluster: Cluster, node: str, names: list[str]) -> dict[str, Usage]:
    """What kubelet says of several pods of the bench on one node."""
    summary = json.loads(cluster.text(f"/api/v1/nodes/{node}/proxy/stats/summary"))
    found = {name: meters.pod_usage(summary, cluster.namespace, name) for name in names}
    return {name: usage for name, usage in found.items() if usage}
