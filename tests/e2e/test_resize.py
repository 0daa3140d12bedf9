"""A pod at rest gives its requests back to its node, by kubelet's in-place resize."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import condition, eventually, free_millicores
from tests.e2e.stoppable import HOLD, pod_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.cluster import Cluster, Object
    from tests.e2e.conftest import Make
    from tests.e2e.stoppable import Stoppable

SMALL = {"cpu": "1m", "memory": "1Mi"}
LIMITS = {"cpu": "1", "memory": "128Mi"}
# What others leave free on a node where there was room for the container.
LEFT_MILLICORES = 100


def sized(name: str, namespace: str, requests: Object, mode: str = "Warm") -> Object:
    resources = {"requests": requests, "limits": LIMITS}
    wanted = pod_manifest(name, namespace, {"command": HOLD, "resources": resources})
    wanted["spec"]["stopMode"] = mode
    return wanted


def wait_requests(app: Stoppable, requests: Object) -> None:
    """Asked for, admitted by kubelet, and done; the limits are what they were."""

    def has() -> bool:
        pod = app.consumer()
        assert pod
        wanted, status = pod["spec"]["containers"][0]["resources"], app.container()
        done = status["resources"]
        assert wanted["limits"] == done["limits"] == LIMITS
        # A CPU request is read back from a cgroup's weight, which is coarser.
        return bool(
            wanted["requests"] == requests == status.get("allocatedResources", requests)
            and done["requests"]["memory"] == requests["memory"]
            and not condition(pod, "PodResizePending")
            and not condition(pod, "PodResizeInProgress")
        )

    eventually(has, what=f"requests {requests}", deadline=60, explain=app.explain)


@pytest.mark.parametrize("mode", ["Warm", "Freeze"])
def test_requests_go_with_the_stop_and_come_with_the_start(
    make: Make, namespace: str, mode: str
) -> None:
    full = {"cpu": "100m", "memory": "64Mi"}
    app = make(sized("gives", namespace, full, mode))
    app.wait_ready()
    digest, before = app.write_marker(), app.container()
    for _ in range(2):
        app.rest()
        wait_requests(app, SMALL if mode == "Warm" else {**full, "cpu": "1m"})
        assert app.phase() == "Stopped"
        assert condition(app.get(), "PodKept")["status"] == "True"
        app.start()
        wait_requests(app, full)
        assert app.phase() == "Running"
    after = app.container()
    assert (after["containerID"], after["restartCount"]) == (before["containerID"], 0)
    assert app.get()["status"]["lastStart"]["mode"] == mode
    app.assert_marker(digest)


def test_a_resize_does_not_thaw_what_is_frozen(make: Make, namespace: str) -> None:
    count = "n=0; while :; do n=$((n+1)); echo $n > /dev/shm/n; sleep 0.05; done"
    wanted = sized("ice", namespace, {"cpu": "100m", "memory": "64Mi"}, "Freeze")
    wanted["spec"]["template"]["spec"]["containers"][0]["command"] = ["sh", "-c", count]
    app = make(wanted)
    app.wait_ready()
    eventually(lambda: int(app.sh("cat /dev/shm/n")) > 5, what="it counts")
    app.rest()
    where = f"/proc/{app.processes()[0]}/root/dev/shm/n"
    frozen = app.cluster.node_exec(app.node, f"cat {where}")
    wait_requests(app, {"cpu": "1m", "memory": "64Mi"})
    # Ten times as long as it would need for the next number.
    assert app.cluster.node_exec(app.node, f"sleep 0.5; cat {where}") == frozen
    app.start()


def test_a_guaranteed_pod_keeps_its_requests_and_says_so(make: Make, namespace: str) -> None:
    app = make(sized("guaranteed", namespace, LIMITS))
    other = make(sized("other", namespace, {"cpu": "10m", "memory": "8Mi"}))
    app.wait_ready()
    other.wait_ready()
    app.rest()
    other.rest()
    wait_requests(other, SMALL)
    wait_requests(app, LIMITS)
    assert "Guaranteed" in condition(app.get(), "PodKept")["message"]


@pytest.mark.alone
def test_a_start_whose_room_was_taken_runs_and_the_next_one_is_cold(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    full = {"cpu": "500m", "memory": "64Mi"}
    app = make(sized("crowded", namespace, full))
    app.wait_ready()
    digest = app.write_marker()
    app.rest()
    wait_requests(app, SMALL)
    with taker(cluster, namespace, app.node):
        app.start()
        kept = app.wait_condition("PodKept", "False", "RequestsRefused", deadline=30)
        assert "Deferred" in kept["message"]
        assert app.phase() == "Running"
        assert app.container()["restartCount"] == 0
        app.assert_marker(digest)
        app.stop()
    app.start()
    last = app.get()["status"]["lastStart"]
    assert (last["mode"], last["reason"]) == ("Cold", "RequestsRefused")
    wait_requests(app, full)
    app.assert_marker(digest)


@pytest.mark.alone
def test_room_that_comes_back_keeps_the_pod_after_all(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    full = {"cpu": "500m", "memory": "64Mi"}
    app = make(sized("waits", namespace, full))
    app.wait_ready()
    before = app.pod_uid()
    app.rest()
    wait_requests(app, SMALL)
    with taker(cluster, namespace, app.node):
        app.start()
        app.wait_condition("PodKept", "False", "RequestsRefused", deadline=30)
    # Kubelet looks again when a pod goes, and every three minutes.
    app.wait_condition("PodKept", "True", "Supervised", deadline=240)
    wait_requests(app, full)
    app.rest()
    assert app.pod_uid() == before


@contextmanager
def taker(cluster: Cluster, namespace: str, node: str) -> Iterator[None]:
    """A pod that asks for nearly all that the node still has."""
    asked = {"requests": {"cpu": f"{free_millicores(cluster, node) - LEFT_MILLICORES}m"}}
    container = {"name": "main", "image": "busybox:1", "command": HOLD, "resources": asked}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "taker", "namespace": namespace},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "nodeSelector": {"kubernetes.io/hostname": node},
                "containers": [container],
            },
        }
    )
    try:
        cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/taker")
        yield
    finally:
        cluster.kubectl("-n", namespace, "delete", "pod", "taker")
