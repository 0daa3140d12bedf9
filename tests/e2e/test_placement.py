"""Where a root goes by the real scheduler, and that its container can always follow it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.stoppable import HOLD, manifest

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster, Object
    from tests.e2e.conftest import Make

HOSTNAME = "kubernetes.io/hostname"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
MINE = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": HOSTNAME}


def web(name: str, namespace: str, *, running: bool = True, **spec: Any) -> Object:
    wanted = manifest(name, namespace, running=running)
    container = {"name": "main", "image": "busybox:1", "command": HOLD}
    wanted["spec"]["template"] = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1, **spec},
    }
    return wanted


def test_anti_affinity_keeps_roots_apart_also_stopped_ones(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    apart = {"podAntiAffinity": {REQUIRED: [MINE]}}
    first = make(web("one", namespace, running=False, affinity=apart))
    first.wait_phase("Stopped")
    second = make(web("two", namespace, affinity=apart))
    second.wait_ready()
    assert second.node != first.node
    first.start()  # neither its own provider nor the other is in its way
    third = make(web("three", namespace, affinity=apart))
    third.wait_condition("NodeAssigned", "False", "Unschedulable")


@pytest.mark.parametrize("running", [True, False])
def test_topology_spread_counts_roots(make: Make, namespace: str, running: bool) -> None:
    spread = {
        "maxSkew": 1,
        "topologyKey": HOSTNAME,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
        "minDomains": 2,
    }
    apps = []
    for number in range(4):
        app = make(
            web(f"s{number}", namespace, running=running, topologySpreadConstraints=[spread])
        )
        app.wait_phase("Running" if running else "Stopped")
        apps.append(app)
    nodes = [app.node for app in apps]
    assert sorted(nodes.count(node) for node in set(nodes)) == [2, 2]
    here = [app for app in apps if app.node == nodes[0]]
    for app in here:
        app.start()  # both on one node, whatever the spread would say to that


def test_a_group_that_wants_to_be_together_is(make: Make, namespace: str) -> None:
    together = {"podAffinity": {REQUIRED: [MINE]}}
    first = make(web("g1", namespace, running=False, affinity=together))
    first.wait_phase("Stopped")
    second = make(web("g2", namespace, affinity=together))
    second.wait_ready()
    assert first.node == second.node
    first.start()


def test_the_scheduler_counts_what_the_container_asks_for(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    app = make(web("big", namespace))
    app.wait_ready()
    app.stop()
    cluster.kubectl(
        "-n", namespace, "patch", "stc", "big", "--type=json",
        "-p", '[{"op":"add","path":"/spec/template/spec/containers/0/resources",'
        '"value":{"requests":{"cpu":"1000"}}}]',
    )  # fmt: skip
    app.set_running(True)
    seen = app.wait_condition("ConsumerReady", "False", "Unschedulable")
    assert "Insufficient cpu" in seen["message"]
    cluster.kubectl(
        "-n", namespace, "patch", "stc", "big", "--type=json",
        "-p", '[{"op":"remove","path":"/spec/template/spec/containers/0/resources"}]',
    )  # fmt: skip
    app.wait_ready()


def test_provider_settings_go_to_the_provider_alone(make: Make, namespace: str) -> None:
    wanted = manifest("split", namespace, command=HOLD)
    resources = {"requests": {"cpu": "3m", "memory": "9Mi"}, "limits": {"memory": "20Mi"}}
    wanted["spec"]["provider"] = {
        "resources": resources,
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "only-provider", "operator": "Exists"}],
    }
    app = make(wanted)
    app.wait_ready()
    provider, consumer = app.provider(), app.consumer()
    assert provider
    assert consumer
    assert provider["spec"]["containers"][0]["resources"] == resources
    assert provider["spec"]["nodeSelector"]["kubernetes.io/os"] == "linux"
    keys = [one.get("key") for one in provider["spec"]["tolerations"]]
    assert "only-provider" in keys
    assert "only-provider" not in [one.get("key") for one in consumer["spec"]["tolerations"]]
    assert "nodeSelector" not in consumer["spec"]


@pytest.mark.alone
def test_a_runtime_with_roots_of_its_own_is_refused_with_a_clear_condition(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    for name in ("other", "like"):
        cluster.apply(
            {
                "apiVersion": "node.k8s.io/v1",
                "kind": "RuntimeClass",
                "metadata": {"name": name},
                "handler": name,
            }
        )
    try:
        app = make(web("kata", namespace, runtimeClassName="other"))
        seen = app.wait_condition("ConsumerReady", "False", "RuntimeClassUnsupported")
        assert app.phase() == "Error"
        assert "runtimeClassName" in seen["message"]
        cluster.kubectl(
            "-n", namespace, "patch", "stc", "kata", "--type=merge",
            "-p", '{"spec":{"template":{"spec":{"runtimeClassName":"like"}}}}',
        )  # fmt: skip
        app.wait_ready()
        app.assert_on_kept_root()
    finally:
        cluster.kubectl("delete", "runtimeclass", "other", "like", "--wait=false")
