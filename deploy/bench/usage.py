"""Memory, idle CPU and API writes, read through the API server; called by `run`."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

from deploy.bench import meters
from deploy.bench.cluster import ApiError

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

    def __init__(self, cluster: Cluster, settle: float = SETTLE) -> None:
        self._cluster = cluster
        self._settle = settle
        self._pods = cluster.get("/api/v1/pods", {"labelSelector": SELECTOR})["items"]

    def of(self, component: str) -> list[Body]:
        """The pods of one of the two programs."""
        return [one for one in self._pods if one["metadata"]["labels"].get(COMPONENT) == component]

    def _metrics(self, pod: Body) -> str:
        where = pod["metadata"]
        name = f"{where['name']}:{PARTS[where['labels'][COMPONENT]]}"
        path = f"/api/v1/namespaces/{where['namespace']}/pods/{name}/proxy/metrics"
        return _text(self._cluster, path)

    def writes(self) -> dict[str, float]:
        """API writes of all replicas by kind and verb; empty where they cannot be read."""
        total: dict[str, float] = {}
        for pod in self.of("controller"):
            for what, value in meters.writes(self._metrics(pod)).items():
                total[what] = total.get(what, 0) + value
        return total

    def usages(self, component: str) -> dict[str, Usage]:
        """The pods of a program: each one's own account, else kubelet's."""
        found = {}
        for pod in self.of(component):
            usage = meters.process(self._metrics(pod), time.time())
            node, where = pod["spec"]["nodeName"], pod["metadata"]
            usage = usage or pods_usage(
                self._cluster, node, [where["name"]], where["namespace"]
            ).get(where["name"])
            if usage:
                found[where["name"]] = usage
        return found

    def idle(self, seconds: float) -> tuple[dict[str, float], dict[str, float]]:
        """By program: the share of one core in all of its pods; the largest memory of one."""
        time.sleep(self._settle)  # no event tells that a node is quiet
        before = {component: self.usages(component) for component in PARTS}
        time.sleep(seconds)  # the time that is measured
        after = {component: self.usages(component) for component in PARTS}
        cpu = {one: sum(shares(before[one], after[one]).values()) for one in PARTS}
        memory = {
            one: max(usage.rss_bytes for usage in usages.values())
            for one, usages in after.items()
            if usages
        }
        return cpu, memory


def shares(before: dict[str, Usage], after: dict[str, Usage]) -> dict[str, float]:
    """The part of one core that each of them used in between."""
    both = before.keys() & after.keys()
    return {name: meters.cpu_share(before[name], after[name]) for name in both}


def pods_usage(cluster: Cluster, node: str, names: list[str], namespace: str) -> dict[str, Usage]:
    """What kubelet says of pods on one node."""
    text = _text(cluster, f"/api/v1/nodes/{node}/proxy/stats/summary")
    summary = json.loads(text) if text else {}
    found = {name: meters.pod_usage(summary, namespace, name) for name in names}
    return {name: usage for name, usage in found.items() if usage}


def _text(cluster: Cluster, path: str) -> str:
    """What a proxy of the API server gives; empty where it may not or cannot reach the other."""
    try:
        return cluster.text(path)
    except ApiError as error:
        print(f"bench: {error}", file=sys.stderr)
        return ""
