"""Evicted, preempted, drained: the data stays, the status says why it waits, and it comes back."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import eventually, free_millicores
from tests.e2e.stoppable import HOLD, manifest, pod_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.cluster import Cluster, Object
    from tests.e2e.conftest import Make
    from tests.e2e.stoppable import Stoppable


def wait_until_unschedulable(app: Stoppable, before: str, node: str) -> None:
    """A new pod of the same root waits for its node, and the status names the node."""
    eventually(lambda: app.pod_uid() not in ("", before), what="a new pod", explain=app.explain)
    seen = app.wait_condition("ConsumerReady", "False", "Unschedulable")
    assert node in seen["message"]
    app.wait_phase("Pending", deadline=10)
    assert node in app.get()["status"]["message"]


def assert_came_back(app: Stoppable, digest: str, node: str) -> None:
    app.wait_ready(deadline=60)
    assert app.node == node
    assert (app.consumer() or {})["spec"]["nodeName"] == node
    app.assert_marker(digest)
    app.assert_on_kept_root()


@pytest.mark.alone
def test_a_drained_node_gets_its_containers_back(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    """Drained as an administrator does it, without --force: our pods have a controller."""
    app = make(manifest("drained", namespace, command=HOLD))
    idle = make(manifest("drained-idle", namespace, command=HOLD))
    app.wait_ready()
    idle.wait_ready()
    digest, kept = app.write_marker(), idle.write_marker()
    idle.stop()
    node, before = app.node, app.pod_uid()
    provider = app.provider()
    try:
        cluster.kubectl(
            "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=90s"
        )
        wait_until_unschedulable(app, before, node)
        assert provider
        eventually(
            lambda: (app.provider() or provider)["metadata"]["uid"] != provider["metadata"]["uid"],
            what="a new provider",
            explain=app.explain,
        )
        assert idle.phase() == "Stopped"
    finally:
        cluster.kubectl("uncordon", node)
    assert_came_back(app, digest, node)
    idle.start()
    idle.assert_marker(kept)


@pytest.mark.alone
def test_a_noexecute_taint_drives_out_and_its_end_brings_back(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    app = make(manifest("tainted", namespace, command=HOLD))
    tolerant = {"tolerations": [{"key": "e2e-away", "operator": "Exists"}]}
    stays = make(manifest("tolerant", namespace, template=tolerant, command=HOLD))
    app.wait_ready()
    stays.wait_ready()
    digest, node, before, other = app.write_marker(), app.node, app.pod_uid(), stays.pod_uid()
    cluster.kubectl("taint", "node", node, f"e2e-away={namespace}:NoExecute")
    try:
        wait_until_unschedulable(app, before, node)
        assert stays.pod_uid() == other
        assert stays.phase() == "Running"
    finally:
        cluster.kubectl("taint", "node", node, "e2e-away-")
    assert_came_back(app, digest, node)


@pytest.mark.alone
def test_a_preempted_container_comes_back_when_there_is_room(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    app = make(manifest("humble", namespace, command=HOLD, resources=requests(500)))
    app.wait_ready()
    digest, node, before = app.write_marker(), app.node, app.pod_uid()
    room = free_millicores(cluster, node)
    with priority_class(cluster, namespace) as high:
        cluster.apply(preemptor(namespace, node, high, room + 250))
        cluster.kubectl(
            "-n", namespace, "wait", "--for=condition=Ready", "pod/proud", "--timeout=110s"
        )
        wait_until_unschedulable(app, before, node)
        assert "cpu" in app.get()["status"]["message"]
        cluster.kubectl("-n", namespace, "delete", "pod", "proud")
        assert_came_back(app, digest, node)


def requests(millicores: int) -> Object:
    return {"requests": {"cpu": f"{millicores}m"}}


def preemptor(namespace: str, node: str, high: str, millicores: int) -> Object:
    container = {
        "name": "main", "image": "busybox:1", "command": HOLD, "resources": requests(millicores)
    }  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "proud", "namespace": namespace},
        "spec": {
            "priorityClassName": high,
            "terminationGracePeriodSeconds": 0,
            "nodeSelector": {"kubernetes.io/hostname": node},
            "containers": [container],
        },
    }


@contextmanager
def priority_class(cluster: Cluster, name: str) -> Iterator[str]:
    cluster.apply(
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": 1000,
        }
    )
    try:
        yield name
    finally:
        cluster.kubectl("delete", "priorityclass", name)


def test_a_disruption_budget_holds_for_the_eviction_api(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    wanted = pod_manifest("guarded", namespace, {"command": HOLD})
    wanted["spec"]["template"]["metadata"] = {"labels": {"app": "guarded"}}
    app = make(wanted)
    app.wait_ready()
    digest, node, before = app.write_marker(), app.node, app.pod_uid()
    cluster.apply(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "budget", "namespace": namespace},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "guarded"}}},
        }
    )
    eventually(
        lambda: (cluster.get("pdb", "budget", namespace) or {})["status"].get("currentHealthy"),
        what="the budget counts the pod",
    )
    eviction = json.dumps(
        {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": "guarded", "namespace": namespace},
        }
    )
    post = ("create", "-f", "-", "--raw", f"/api/v1/namespaces/{namespace}/pods/guarded/eviction")
    assert "disruption budget" in cluster.refused(*post, stdin=eviction)
    assert app.pod_uid() == before

    cluster.kubectl("-n", namespace, "delete", "pdb", "budget")
    cluster.kubectl(*post, stdin=eviction)
    eventually(lambda: app.pod_uid() not in ("", before), what="a new pod", explain=app.explain)
    assert_came_back(app, digest, node)


# The first run goes over a storage limit of the pod's, for which kubelet ends the pod for good.
OVER_ITS_LIMIT: dict[str, Object] = {
    "volume": {
        "script": "dd if=/dev/zero of=/scratch/fat bs=1M count=4",
        "container": {"volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]},
        "spec": {"volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}]},
    },
    "log": {
        "script": "head -c 3000000 /dev/urandom | base64",
        "container": {"resources": {"limits": {"ephemeral-storage": "1Mi"}}},
        "spec": {},
    },
}


def evicted_by_kubelet(make: Make, namespace: str, what: str, policy: str) -> Stoppable:
    case = OVER_ITS_LIMIT[what]
    mark = "head -c 4096 /dev/urandom > /marker; sha256sum /marker > /marker.sum"
    first = f"echo run >> /runs; [ -e /marker ] || {{ {mark}; {case['script']}; }}"
    command = {"command": ["sh", "-c", f"{first}; exec sleep 1000000"]}
    return make(
        pod_manifest(
            "evicted", namespace, command | case["container"], restartPolicy=policy, **case["spec"]
        )
    )


def assert_second_run_with_the_data_of_the_first(app: Stoppable) -> None:
    assert app.exec("cat", "/runs").split() == ["run"] * 2
    app.cluster.node_exec(app.node, "echo 3 > /proc/sys/vm/drop_caches")
    assert app.sh("sha256sum -c /marker.sum").strip() == "/marker: OK"
    app.assert_on_kept_root()


@pytest.mark.parametrize(("what", "policy"), [("volume", "Always"), ("log", "OnFailure")])
def test_a_pod_that_kubelet_evicts_is_replaced(
    make: Make, namespace: str, what: str, policy: str
) -> None:
    app = evicted_by_kubelet(make, namespace, what, policy)
    eventually(
        lambda: "Evicted" in app.cluster.kubectl("-n", namespace, "get", "events"),
        what="kubelet's eviction",
        deadline=180,
        explain=app.explain,
    )
    eventually(lambda: app.runs() == 2, what="a second run", explain=app.explain)
    app.wait_ready()
    assert_second_run_with_the_data_of_the_first(app)


def test_a_pod_that_kubelet_evicts_under_never_stays_ended(make: Make, namespace: str) -> None:
    app = evicted_by_kubelet(make, namespace, "log", "Never")

    def message() -> str:
        # Kubelet may tell of the container's end before it tells of the pod's, with the reason.
        said = app.wait_condition("ConsumerReady", "False", "Failed", deadline=180)["message"]
        return said if "storage" in said else ""

    said = eventually(message, what="the storage named", deadline=240, explain=app.explain)
    assert "set running to false, then to true" in said
    app.wait_phase("Error", deadline=5)
    assert app.runs() == 1
    app.stop()
    app.start()
    assert_second_run_with_the_data_of_the_first(app)
