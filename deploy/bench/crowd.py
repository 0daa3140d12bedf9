"""Many starts at once on one node, bare pods against cold starts, in turn; called by `run`."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from deploy.bench.objects import OBEDIENT, pinned, pod, pod_spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.bench.cycles import Bench

VOLUMES = "no volume"
# As many requests under way as a client would have; the API server is not what is measured.
SENDERS = 8


class Crowd:
    """So many StoppableContainers on one node, stopped."""

    def __init__(self, bench: Bench, node: str, size: int) -> None:
        self._bench = bench
        self._spec = pinned(pod_spec(OBEDIENT, token=False), node)
        self.names = [f"crowd-{number:02}" for number in range(size)]
        self._bare = [f"bare-{name}" for name in self.names]
        self._senders = ThreadPoolExecutor(SENDERS)
        self._all(lambda name: bench.prepare(name, self._spec, "Cold"), self.names)

    def _all(self, send: Callable[[str], object], names: list[str]) -> None:
        list(self._senders.map(send, names))

    def round(self) -> None:
        """Start and stop all bare pods, then all StoppableContainers."""
        self._bare_pods()
        self._cold()

    def _bare_pods(self) -> None:
        bench = self._bench
        marks = {name: bench.pods.mark(name) for name in self._bare}
        begin = time.time()
        where = bench.cluster.pods
        self._all(lambda name: bench.cluster.create(where, pod(name, self._spec)), self._bare)
        for name in self._bare:
            bench.pod_ready(name, marks[name])
        self._add("bare", begin, self._bare)
        marks = {name: bench.pods.mark(name) for name in self._bare}
        self._all(lambda name: bench.cluster.delete(f"{where}/{name}"), self._bare)
        for name in self._bare:
            bench.pod_gone(name, marks[name])

    def _cold(self) -> None:
        # Their stages are left out: thirty at once say nothing of how one start passes its time.
        self._set(running=True, phase="Running", measure=True)
        self._set(running=False, phase="Stopped", measure=False)

    def _set(self, *, running: bool, phase: str, measure: bool) -> None:
        bench = self._bench
        marks = {name: bench.stoppables.mark(name) for name in self.names}
        begin = time.time()
        self._all(lambda name: bench.cluster.set_running(name, running=running), self.names)
        for name in self.names:
            bench.phase(name, phase, marks[name])
        if measure:
            self._add("cold", begin, self.names)

    def _add(self, mode: str, begin: float, names: list[str]) -> None:
        lines = [self._bench.first_line(name, begin) - begin for name in names]
        self._bench.add(mode, VOLUMES, "crowd-median", statistics.median(lines))
        self._bench.add(mode, VOLUMES, "crowd-last", max(lines))

    def drop(self) -> None:
        """Delete all of them."""
        self._all(self._bench.drop, self.names)
        self._senders.shutdown()
