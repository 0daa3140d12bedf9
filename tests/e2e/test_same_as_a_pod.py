"""A StoppableContainer means what the same pod means, but for docs/differences.md."""

from __future__ import annotations

import contextlib
import copy
import difflib
import itertools
import json
import re
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import ROOT, condition, eventually
from tests.e2e.differences import DIFFERENCES, ELSEWHERE
from tests.e2e.podspecs import Case, cases, flatten, observe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.cluster import Cluster, Object

CASES = list(cases())
LABEL = "same-as-a-pod"
PRIORITY = "e2e-same-as-a-pod"
# More at once would only be slower, and in the way of the tests beside it.
AT_A_TIME = 4
SETTLE_SECONDS = 300


def waiting_reason(pod: Object) -> str:
    statuses = pod["status"].get("containerStatuses", [])
    return " ".join(str(one["state"].get("waiting", {}).get("reason")) for one in statuses)


def is_ready(pod: Object) -> bool:
    """Its containers have `started`, too: kubelet may say that a moment later."""
    started = all(one.get("started") for one in pod["status"].get("containerStatuses", []))
    return started and condition(pod, "Ready").get("status") == "True"


def all_run(pod: Object) -> bool:
    statuses = pod["status"].get("containerStatuses", [])
    running = all("running" in one["state"] and one.get("started") for one in statuses)
    return bool(statuses) and running


def has_ended(pod: Object) -> bool:
    """Its sandbox, too: that goes a moment later."""
    sandbox = condition(pod, "PodReadyToStartContainers").get("status")
    return pod["status"].get("phase") in ("Succeeded", "Failed") and sandbox == "False"


# When a pod has come to where it is compared.
SETTLED: dict[str, Callable[[Object], bool]] = {
    "ready": is_ready,
    "running": all_run,
    "ended": has_ended,
    "crashed": lambda pod: waiting_reason(pod) == "CrashLoopBackOff",
    "refused": lambda pod: waiting_reason(pod) == "CreateContainerConfigError",
}


@dataclass
class Side:
    """A namespace with all pods of one kind: bare, or of StoppableContainers."""

    namespace: str
    service_address: str = ""
    pods: dict[str, Object] = field(default_factory=dict)
    logs: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def observe(self, name: str) -> Object:
        return observe(self.pods[name], self.logs.get(name, {}), self.service_address)


class World:
    """Creates the pods, a few at a time so as not to flood the nodes, and keeps what they were."""

    def __init__(self, cluster: Cluster, run: str) -> None:
        self.cluster = cluster
        self.nodes = cluster.nodes()
        self.labels = {LABEL: run}
        self.bare = Side(f"e2e-{run}-bare")
        self.stoppable = {False: Side(f"e2e-{run}-plain"), True: Side(f"e2e-{run}-init")}
        self.sides = {one.namespace: one for one in (self.bare, *self.stoppable.values())}
        self.by_name = {
            name: list(group) for name, group in itertools.groupby(CASES, lambda case: case.name)
        }
        self.queue = list(self.by_name)
        self.unsettled: dict[str, set[str]] = {}
        self.deadlines: dict[str, float] = {}

    def run(self) -> None:
        """Take each pod as it is at the moment when it settles, then make room for the next.

        One that does not settle is given up; its own comparison says so.
        """
        for line in self._watch():
            pod = json.loads(line)
            name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
            if namespace in self.unsettled.get(name, ()):
                self.sides[namespace].pods[name] = pod
                self._look(name, namespace)
            late = [name for name in self.unsettled if time.monotonic() > self.deadlines[name]]
            done = [name for name, missing in self.unsettled.items() if not missing]
            for name in {*late, *done}:
                self.cluster.kubectl("delete", "--wait=false", "-f", "-", stdin=self._objects(name))
                del self.unsettled[name]
                self._create_next()
            if not self.unsettled:
                return

    def _look(self, name: str, namespace: str) -> None:
        case, side = self.by_name[name][0], self.sides[namespace]
        if SETTLED[case.settled](side.pods[name]):
            self.unsettled[name].remove(namespace)
            with contextlib.suppress(AssertionError):
                eventually(lambda: self._read_log(case, side), what="a report", deadline=60)

    def _create_next(self) -> None:
        if self.queue:
            name = self.queue.pop(0)
            stoppable = [self.stoppable[case.init].namespace for case in self.by_name[name]]
            self.unsettled[name] = {self.bare.namespace, *stoppable}
            self.deadlines[name] = time.monotonic() + SETTLE_SECONDS
            # Not apply: its annotation would be a difference.
            self.cluster.kubectl("create", "-f", "-", stdin=self._objects(name))

    def _objects(self, name: str) -> str:
        """The bare pod and its StoppableContainers, on one node."""
        group = self.by_name[name]
        node = self.nodes[list(self.by_name).index(name) % len(self.nodes)]
        bare = group[0].pod(self.bare.namespace, self.labels, node)
        ours = [
            case.stoppable(self.stoppable[case.init].namespace, self.labels, node) for case in group
        ]
        return "\n---\n".join(json.dumps(one) for one in (bare, *ours))

    def _watch(self) -> Iterator[bytes]:
        """Each state of each pod, one a line."""
        argv = [self.cluster.kubectl_path, "--kubeconfig", self.cluster.kubeconfig]
        argv += ["get", "pods", "-A", "-w", "--request-timeout=600s"]
        argv += ["-l", f"{LABEL}={self.labels[LABEL]}", "-o", r"jsonpath={}{'\n'}"]
        with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE) as watching:
            try:
                for _ in range(AT_A_TIME):
                    self._create_next()
                yield from watching.stdout or ()
            finally:
                watching.kill()

    def _read_log(self, case: Case, side: Side) -> bool:
        """Read the logs of all containers; whether every report in them is complete."""
        flags = ["--all-containers", "--prefix", "--ignore-errors"]
        said = self.cluster.kubectl("-n", side.namespace, "logs", case.name, *flags)
        log: dict[str, list[str]] = {}
        for line in said.splitlines():
            found = re.match(r"\[pod/[^/]+/([^\]]+)\] ?(.*)", line)
            if found:
                log.setdefault(found[1], []).append(found[2])
        side.logs[case.name] = log
        status = side.pods[case.name]["status"]
        statuses = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
        # One that waits to be run again may be read just when its next log begins: again then.
        begun = {
            one["name"] for one in statuses if "waiting" not in one["state"] or one["lastState"]
        }
        complete = {name for name, lines in log.items() if any(case.end in line for line in lines)}
        return begun <= complete if case.end else True


def objects(namespace: str) -> list[Object]:
    """What the specs refer to."""

    def named(kind: str, name: str, **content: Object) -> Object:
        metadata = {"name": name, "namespace": namespace}
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **content}

    return [
        named("ConfigMap", "settings", data={"colour": "blue", "file.conf": "a = 1\nb = 2\n"}),
        named("Secret", "secrets", stringData={"password": "open sesame", "user": "ali"}),
        named("ServiceAccount", "robot"),
        named("Service", "backend", spec={"ports": [{"port": 80}]}),
    ]


@pytest.fixture
def world(cluster: Cluster) -> Iterator[World]:
    world = World(cluster, uuid.uuid4().hex[:8])
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 7}
    cluster.apply(priority | {"metadata": {"name": PRIORITY}})
    for namespace, side in world.sides.items():
        cluster.kubectl("create", "namespace", namespace)
        cluster.apply(*objects(namespace))
        cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", namespace)
        service = cluster.get("service", "backend", namespace) or {}
        side.service_address = service["spec"]["clusterIP"]
    try:
        world.run()
        yield world
    finally:
        for side in world.stoppable.values():
            every = ["stoppablecontainers", "--all", "-n", side.namespace, "--timeout=120s"]
            cluster.kubectl("delete", *every, timeout=130)
        for namespace in world.sides:
            cluster.kubectl("delete", "namespace", namespace, "--wait=false")
        cluster.kubectl("delete", "priorityclass", PRIORITY)


def compare(world: World, case: Case) -> None:
    settled = SETTLED[case.settled]
    for side in (world.bare, world.stoppable[case.init]):
        assert case.name in side.pods, f"no pod in {side.namespace}"
        assert settled(side.pods[case.name]), json.dumps(side.pods[case.name]["status"], indent=1)
    expected = copy.deepcopy(world.bare.observe(case.name))
    for difference in DIFFERENCES.values():
        difference(expected, case)
    ours = world.stoppable[case.init].observe(case.name)
    lines, our_lines = list(flatten(expected)), list(flatten(ours))
    found = list(difflib.unified_diff(lines, our_lines, "pod", "ours", n=0, lineterm=""))
    assert not found, "\n".join(found)


def is_seen(world: World, name: str) -> bool:
    """Whether a difference is one for any of the specs: the table keeps no row in vain."""
    for case in CASES:
        seen = world.bare.observe(case.name)
        before = list(flatten(seen))
        DIFFERENCES[name](seen, case)
        if list(flatten(seen)) != before:
            return True
    return False


def test_same_as_a_pod(world: World, subtests: pytest.Subtests) -> None:
    """One test, because all specs share two namespaces; each is reported by its name."""
    for case in CASES:
        with subtests.test(case.ident):
            compare(world, case)
    for name in DIFFERENCES:
        with subtests.test(f"difference: {name}"):
            assert is_seen(world, name)


def test_the_documented_differences_are_the_tested_ones() -> None:
    table = (ROOT / "docs" / "differences.md").read_text().splitlines()
    rows = [line.split("|")[1].strip() for line in table if line.startswith("| ")]
    assert rows == ["what", *DIFFERENCES, *ELSEWHERE]
    assert all((ROOT / "tests" / test).exists() for test in ELSEWHERE.values())
