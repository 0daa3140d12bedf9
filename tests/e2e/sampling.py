"""What the status claims beside what the node's /proc shows, several times a second."""

from __future__ import annotations

import subprocess
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from kubernetes import client

from tests.e2e.cluster import ROOT, eventually
from tests.e2e.toggler import GROUP, VERSION, connect

if TYPE_CHECKING:
    from tests.e2e.stoppable import Stoppable

# /proc/uptime is the one clock that the node's shell and the test share.
LOOP = """
device=$(stat -c %d {root}/); echo begin
while read -r before _ < /proc/uptime; do
    found=$(stat -c %d /proc/[0-9]*/root/ 2>/dev/null | grep -c "^$device$")
    read -r after _ < /proc/uptime; echo $before $after $found || exit 0; sleep 0.05
done
"""


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Sample(NamedTuple):
    """How many processes lived on the root, somewhere between two moments."""

    begin: float
    end: float
    processes: int


class Claim(NamedTuple):
    """What the status said, somewhere between two moments; empty when it was behind the spec."""

    begin: float
    end: float
    phase: str
    generation: int


class Sampling:
    """While the block runs: the processes on a mounted root, and the phase."""

    def __init__(self, app: Stoppable) -> None:
        self._api = client.CustomObjectsApi(connect(app.cluster))
        self._object = (GROUP, VERSION, app.namespace, "stoppablecontainers", app.name)
        number = app.cluster.nodes().index(app.node) + 1
        loop = LOOP.format(root=app.get()["status"]["hostPath"])
        argv = ["make", "-s", "node-exec", f"N={number}", f"CMD={loop}"]
        self._shell = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self._ended = threading.Event()
        self._samples: list[Sample] = []
        self._claims: list[Claim] = []
        self._threads = [threading.Thread(target=work) for work in (self._sample, self._ask)]

    def __enter__(self) -> Self:
        assert self._shell.stdout
        assert self._shell.stdout.readline() == "begin\n"
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        # The loop ends by itself when nobody reads what it says.
        assert self._shell.stdout
        self._shell.stdout.close()
        self._shell.wait(timeout=20)

    def _sample(self) -> None:
        assert self._shell.stdout
        while not self._ended.is_set():
            before, after, found = self._shell.stdout.readline().split()
            # The clock counts in hundredths, rounded down.
            self._samples.append(Sample(float(before), float(after) + 0.01, int(found)))

    def _ask(self) -> None:
        while not self._ended.is_set():
            begin = now()
            found: Any = self._api.get_namespaced_custom_object(*self._object)
            status = found["status"]
            generation = found["metadata"]["generation"]
            phase = status["phase"] if status["observedGeneration"] == generation else ""
            self._claims.append(Claim(begin, now(), phase, generation))
            time.sleep(0.02)  # the rate of looking, not a wait for something

    def wait_for(self, phase: str, samples: int) -> None:
        """Wait until so many samples were taken during this phase, however busy the machine is."""
        eventually(lambda: len(self.during(phase)) >= samples, what=f"{samples} samples of {phase}")

    def during(self, phase: str) -> list[Sample]:
        """The samples taken while the status showed this phase without a break."""
        spans: list[tuple[float, float]] = []
        for before, after in pairwise(self._claims):
            # Another generation: a whole stop and start went by between the two looks.
            same = before.generation == after.generation
            if same and before.phase == after.phase == phase:
                if spans and spans[-1][1] == before.begin:
                    spans[-1] = (spans[-1][0], after.begin)
                else:
                    spans.append((before.end, after.begin))
        return [
            sample
            for sample in self._samples
            if any(since <= sample.begin and sample.end <= until for since, until in spans)
        ]
