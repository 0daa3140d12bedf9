"""The agent's metrics; the only prometheus_client here. server.py serves them on their own port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import prometheus_client as prometheus
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nodeagent.store import Store

RPC_ERRORS = prometheus.Counter(
    "stoppablecontainer_agent_rpc_errors", "Calls that ended with an error", ["code"]
)
NRI_CONNECTED = prometheus.Gauge(
    "stoppablecontainer_agent_nri_connected", "1 while the runtime talks to this agent"
)
NRI_SECONDS = prometheus.Histogram(
    "stoppablecontainer_agent_nri_seconds",
    "Time to answer one NRI request; all of a node wait for it",
    ["event"],
    buckets=(0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 2.0),
)


class _Roots(Collector):
    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[GaugeMetricFamily]:
        roots = self._store.roots()
        counts = {
            "roots": len(roots),
            "mounted": sum(root.device is not None for root in roots),
            "held": sum(root.holder is not None for root in roots),
            "problems": sum(root.problem is not None for root in roots),
        }
        family = GaugeMetricFamily(
            "stoppablecontainer_agent_roots", "Roots of this node by state", labels=["state"]
        )
        for state, count in counts.items():
            family.add_metric([state], count)
        yield family


def serve(store: Store, address: str, port: int) -> None:
    """Count the store's roots at each scrape, and answer scrapes from a thread."""
    prometheus.REGISTRY.register(_Roots(store))
    prometheus.start_http_server(port, addr=address)
