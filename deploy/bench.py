"""Start and stop times beside a bare pod's, interleaved in one run, as ratios.

Start: from sending the request to the first line the command prints, by the runtime's time stamp of
that line; both clocks are one machine's, so the bench must run where the nodes are. Stop: until the
API shows the end.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubernetes import client, config
from kubernetes.client import ApiException

if TYPE_CHECKING:
    from collections.abc import Callable

GROUP, VERSION, PLURAL = "stoppablecontainer.xtlsoft.top", "v1alpha1", "stoppablecontainers"
NAMESPACE = "bench"
COMMAND = ["sh", "-c", "echo up; exec sleep 1000000"]


@dataclass
class Series:
    """Seconds of one kind of start or stop."""

    name: str
    seconds: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Bench:
    """The API of the cluster, and nothing but plain requests to it."""

    def __init__(self) -> None:
        config.load_kube_config()  # type: ignore[no-untyped-call]
        self.core = client.CoreV1Api()
        self.custom = client.CustomObjectsApi()

    def pod_spec(self, *, token: bool) -> dict[str, Any]:
        return {
            "automountServiceAccountToken": token,
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "main",
                    "image": "busybox:1",
                    "imagePullPolicy": "IfNotPresent",
                    "command": COMMAND,
                }
            ],
        }

    def stoppable(self, name: str) -> dict[str, Any]:
        found: Any = self.custom.get_namespaced_custom_object(
            GROUP, VERSION, NAMESPACE, PLURAL, name
        )
        return dict(found)

    def set_running(self, name: str, running: bool) -> None:
        self.custom.patch_namespaced_custom_object(
            GROUP, VERSION, NAMESPACE, PLURAL, name, {"spec": {"running": running}}
        )

    def wait_phase(self, name: str, phase: str) -> None:
        def seen() -> bool:
            return bool(self.stoppable(name).get("status", {}).get("phase") == phase)

        wait(seen, f"{name} {phase}")

    def pod(self, name: str) -> Any:
        try:
            return self.core.read_namespaced_pod(name, NAMESPACE)
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def is_ready(self, name: str) -> bool:
        pod = self.pod(name)
        conditions = (pod and pod.status.conditions) or []
        return any(one.type == "Ready" and one.status == "True" for one in conditions)

    def first_line(self, name: str) -> float:
        """When the runtime got the command's first line, in seconds since the epoch."""
        log: list[str] = []

        def has_begun() -> bool:
            # Ready comes from kubelet's first look, which may be before the first line.
            log[:] = self.core.read_namespaced_pod_log(name, NAMESPACE, timestamps=True).split()
            return bool(log)

        wait(has_begun, f"a line from {name}")
        stamp = log[0]
        whole, fraction = stamp.rstrip("Z").split(".")
        return datetime.fromisoformat(whole + "+00:00").timestamp() + float("0." + fraction)


def wait(seen: Callable[[], Any], what: str, deadline: float = 60) -> None:
    """Look every 20 ms: the looks themselves must not be the load."""
    end = time.monotonic() + deadline
    while not seen():
        if time.monotonic() > end:
            sys.exit(f"bench: not within {deadline:g} s: {what}")
        time.sleep(0.02)  # the distance between two looks


def pinned(spec: dict[str, Any], node: str) -> dict[str, Any]:
    """The same pod, pinned to a node as the consumer is: the scheduler stays on the path."""
    field_ = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = {"nodeSelectorTerms": [{"matchFields": [field_]}]}
    return {
        **spec,
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}},
    }


def bare_cycle(bench: Bench, spec: dict[str, Any], start: Series, stop: Series) -> None:
    name = "bare"
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    begin = time.time()
    bench.core.create_namespaced_pod(NAMESPACE, body)  # type: ignore[arg-type]
    wait(lambda: bench.is_ready(name), "the bare pod Ready")
    start.seconds.append(bench.first_line(name) - begin)
    begin = time.time()
    bench.core.delete_namespaced_pod(name, NAMESPACE)
    wait(lambda: bench.pod(name) is None, "the bare pod gone")
    stop.seconds.append(time.time() - begin)


def stoppable_cycle(bench: Bench, name: str, start: Series, stop: Series) -> None:
    begin = time.time()
    bench.set_running(name, running=True)
    wait(lambda: bench.is_ready(name), f"{name} Ready")
    start.seconds.append(bench.first_line(name) - begin)
    bench.wait_phase(name, "Running")
    begin = time.time()
    bench.set_running(name, running=False)
    bench.wait_phase(name, "Stopped")
    stop.seconds.append(time.time() - begin)


def measure(bench: Bench, count: int, *, token: bool) -> list[Series]:
    spec = bench.pod_spec(token=token)
    name = "bench-token" if token else "bench-plain"
    body = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "StoppableContainer",
        "metadata": {"name": name},
        "spec": {"running": False, "template": {"spec": spec}},
    }
    bench.custom.create_namespaced_custom_object(GROUP, VERSION, NAMESPACE, PLURAL, body)
    bench.wait_phase(name, "Stopped")
    bare = pinned(spec, bench.stoppable(name)["status"]["node"])
    kind = "token volume" if token else "no volume"
    series = [
        Series(f"{what} ({kind})")
        for what in ("start, bare pod", "stop, bare pod", "start, cold", "stop, cold")
    ]
    warm_up = [Series(""), Series("")]
    bare_cycle(bench, bare, *warm_up)
    stoppable_cycle(bench, name, *warm_up)
    for _ in range(count):
        bare_cycle(bench, bare, series[0], series[1])
        stoppable_cycle(bench, name, series[2], series[3])
    bench.custom.delete_namespaced_custom_object(GROUP, VERSION, NAMESPACE, PLURAL, name)
    return series


def table(series: list[Series]) -> str:
    """Milliseconds, and the ratio of medians against the bare pod in the same run."""
    lines = [f"{'':<34}{'n':>4}{'p50':>8}{'p90':>8}{'p99':>8}{'ratio':>8}"]
    for one in series:
        kind = one.name.split("(")[1]
        what = one.name.split(",")[0]
        bare = next(x for x in series if x.name == f"{what}, bare pod ({kind}")
        ratio = statistics.median(one.seconds) / statistics.median(bare.seconds)
        numbers = "".join(f"{one.percentile(share) * 1000:8.0f}" for share in (0.5, 0.9, 0.99))
        lines.append(f"{one.name:<34}{len(one.seconds):>4}{numbers}{ratio:8.2f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--json", default="")
    options = parser.parse_args()
    bench = Bench()
    try:
        bench.core.create_namespace({"metadata": {"name": NAMESPACE}})  # type: ignore[arg-type]
    except ApiException as error:
        if error.status != 409:
            raise
    wait_account = "default service account"
    wait(lambda: bench.core.list_namespaced_service_account(NAMESPACE).items, wait_account)
    series: list[Series] = []
    for token in (False, True):
        series += measure(bench, options.count, token=token)
    print(table(series))
    if options.json:
        content = json.dumps({one.name: one.seconds for one in series})
        Path(options.json).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
