"""One start and stop at a time: a bare pod, a StoppableContainer; called by `run` and `crowd`.

A start is measured from before its request is sent until the first line of the command, by the
runtime's own time stamp of that line; both clocks are one where the bench runs beside the nodes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from deploy.bench.objects import is_ready, phase, pod, stoppable
from deploy.bench.result import Series
from deploy.bench.stages import StageSums
from deploy.bench.watching import Change, NotSeen, Watching

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.bench.cluster import Cluster

# Bare pods that do not obey SIGTERM take their whole grace of 30 s.
DEADLINE = 90.0


class Bench:
    """The cluster as seen through two watches, and what has been measured so far."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.pods = Watching(cluster.watch(cluster.pods))
        self.stoppables = Watching(cluster.watch(cluster.stoppables))
        self.stages = StageSums()
        self._seconds: dict[tuple[str, str, str], list[float]] = {}

    def add(self, mode: str, volumes: str, what: str, seconds: float) -> None:
        """One measured value."""
        self._seconds.setdefault((mode, volumes, what), []).append(seconds)

    def forget(self, volumes: str) -> None:
        """Drop what the first cycles gave: they pull images and fill caches."""
        self._seconds = {key: value for key, value in self._seconds.items() if key[1] != volumes}

    def series(self) -> Iterator[Series]:
        """All that was measured."""
        for (mode, volumes, what), seconds in self._seconds.items():
            yield Series(mode, volumes, what, tuple(seconds))

    def first_line(self, name: str, since: float) -> float:
        """The stamp of the pod's line that came after `since`; when it is read does not matter."""
        end = time.monotonic() + DEADLINE
        while True:
            found = self.cluster.last_line(name)
            if found is not None and found > since:
                return found
            if time.monotonic() > end:
                raise NotSeen(f"not within {DEADLINE:g} s: a line from {name}")
            time.sleep(0.02)  # the distance between two looks

    def pod_ready(self, name: str, since: int) -> float:
        """When a pod's own Ready was seen."""

        def seen(change: Change) -> bool:
            return change.kind != "DELETED" and is_ready(change.body)

        what = f"pod {name} Ready"
        return self.pods.first(name, seen, what, since=since, deadline=DEADLINE).at

    def pod_gone(self, name: str, since: int) -> float:
        """When a pod's end was seen."""
        what = f"pod {name} gone"
        return self.pods.first(
            name, lambda change: change.kind == "DELETED", what, since=since, deadline=DEADLINE
        ).at

    def phase(self, name: str, wanted: str, since: int) -> float:
        """When a phase was seen."""
        return self.stoppables.first(
            name,
            lambda change: phase(change.body) == wanted,
            f"{name} {wanted}",
            since=since,
            deadline=DEADLINE,
        ).at

    def look_at_stages(self, name: str) -> dict[str, Any]:
        """Count what status says of the last start and stop."""
        body = self.stoppables.latest(name)
        status = dict(body.get("status", {}))
        self.stages.add(body["metadata"]["uid"], status)
        return status

    def prepare(self, name: str, spec: dict[str, Any], mode: str) -> str:
        """A stopped StoppableContainer, and the node that it is on."""
        since = self.stoppables.mark(name)
        body = stoppable(name, spec, mode=mode)
        self.cluster.create(self.cluster.stoppables, body)
        self.phase(name, "Stopped", since)
        return str(self.stoppables.latest(name)["status"]["node"])

    def drop(self, name: str) -> None:
        """Delete a StoppableContainer and wait for its end."""
        since = self.stoppables.mark(name)
        self.cluster.delete(f"{self.cluster.stoppables}/{name}")
        self.stoppables.first(
            name,
            lambda change: change.kind == "DELETED",
            f"{name} gone",
            since=since,
            deadline=DEADLINE,
        )


def bare_cycle(bench: Bench, spec: dict[str, Any], volumes: str) -> None:
    """Create and delete a pod."""
    name = "bare"
    since = bench.pods.mark(name)
    begin = time.time()
    bench.cluster.create(bench.cluster.pods, pod(name, spec))
    ready = bench.pod_ready(name, since)
    bench.add("bare", volumes, "start", bench.first_line(name, begin) - begin)
    bench.add("bare", volumes, "phase", ready - begin)
    bare_stop(bench, name, volumes, "stop")


def bare_stop(bench: Bench, name: str, volumes: str, what: str) -> None:
    """Delete a pod that runs."""
    since = bench.pods.mark(name)
    begin = time.time()
    bench.cluster.delete(f"{bench.cluster.pods}/{name}")
    bench.add("bare", volumes, what, bench.pod_gone(name, since) - begin)


def cycle(bench: Bench, name: str, mode: str, volumes: str) -> None:
    """Start and stop a StoppableContainer."""
    start(bench, name, mode, volumes)
    stop(bench, name, mode, volumes, "stop")


def start(bench: Bench, name: str, mode: str, volumes: str) -> None:
    """From the PATCH on."""
    pods, since = bench.pods.mark(name), bench.stoppables.mark(name)
    begin = time.time()
    bench.cluster.set_running(name, running=True)
    running = bench.phase(name, "Running", since)
    bench.add(mode, volumes, "start", bench.first_line(name, begin) - begin)
    bench.add(mode, volumes, "phase", running - begin)
    if mode == "cold":
        # A warm start keeps the pod; kubelet hears of its readiness in its own time.
        bench.add(mode, volumes, "lag", running - bench.pod_ready(name, pods))


def stop(bench: Bench, name: str, mode: str, volumes: str, what: str) -> None:
    """Until phase Stopped."""
    since = bench.stoppables.mark(name)
    begin = time.time()
    bench.cluster.set_running(name, running=False)
    bench.add(mode, volumes, what, bench.phase(name, "Stopped", since) - begin)


def create_cycle(bench: Bench, name: str, spec: dict[str, Any], volumes: str) -> None:
    """The first start of all: provider, root and consumer."""
    since = bench.stoppables.mark(name)
    begin = time.time()
    bench.cluster.create(bench.cluster.stoppables, stoppable(name, spec, running=True))
    running = bench.phase(name, "Running", since)
    bench.add("create", volumes, "start", bench.first_line(name, begin) - begin)
    bench.add("create", volumes, "phase", running - begin)
    bench.drop(name)
