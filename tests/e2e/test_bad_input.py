"""Bad input: a refusal or a condition that says what to do, and recovery when it is fixed."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.cluster import condition, eventually
from tests.e2e.stoppable import HOLD, Stoppable, manifest

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster, Object
    from tests.e2e.conftest import Make

POD = {"containers": [{"name": "app", "image": "busybox:1", "command": HOLD}]}


def with_template(template: Object) -> Object:
    wanted = manifest("bad", "default")
    wanted["spec"]["template"] = template
    return wanted


def with_pod(**fields: Any) -> Object:
    return with_template({"spec": {**copy.deepcopy(POD), **fields}})


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (with_template({}), "exactly one of"),
        (with_template({"container": {"image": "busybox:1"}, "spec": POD}), "exactly one of"),
        (with_template({"container": {"command": HOLD}}), "image"),
        (with_template({"container": {"image": ""}}), "image"),
        (with_template({"spec": {"containers": [{"name": "app"}]}}), "image"),
        (with_pod(containers=[]), "at least"),
        (with_pod(hostUsers=False), "hostUsers"),
        (with_pod(os={"name": "windows"}), "windows"),
        (with_template({"container": {"image": "busybox:1", "comand": HOLD}}), "comand"),
        (with_pod(containerz=[]), "containerz"),
        (manifest("n" * 64, "default"), "63"),
    ],
)
def test_the_api_server_refuses(
    cluster: Cluster, namespace: str, wanted: Object, said: str
) -> None:
    wanted = copy.deepcopy(wanted)
    wanted["metadata"]["namespace"] = namespace
    answer = cluster.refused("apply", "-f", "-", stdin=json.dumps(wanted))
    assert said in answer


def test_an_image_that_does_not_exist(make: Make, namespace: str) -> None:
    app = make(manifest("noimage", namespace, image="localhost/test/nothing:1", command=HOLD))
    seen = app.wait_condition("ImagePinned", "False", "ImagePullFailed")
    assert "localhost/test/nothing:1" in seen["message"]
    assert app.phase() in ("Pending", "Error")
    app.cluster.kubectl(
        "-n", namespace, "patch", "stc", "noimage", "--type=merge",
        "-p", '{"spec":{"template":{"container":{"image":"busybox:1"}}}}',
    )  # fmt: skip
    app.wait_ready()


def test_a_node_that_no_provider_fits(cluster: Cluster, make: Make, namespace: str) -> None:
    nowhere = {"nodeSelector": {"no-such-label": namespace}}
    app = make(manifest("nofit", namespace, template=nowhere, command=HOLD))
    seen = app.wait_condition("NodeAssigned", "False", "Unschedulable")
    assert "node" in seen["message"]
    node = cluster.nodes()[0]
    cluster.kubectl("label", "node", node, f"no-such-label={namespace}")
    try:
        app.wait_ready(deadline=90)
    finally:
        cluster.kubectl("label", "node", node, "no-such-label-")


@pytest.mark.alone
def test_a_node_whose_runtime_has_no_nri(cluster: Cluster, make: Make, namespace: str) -> None:
    node = cluster.nodes()[-1]
    switch = (
        "sed -i '/nri.v1.nri/,$ s/disable = {}/disable = {}/' /etc/containerd/config.toml"
        " && pkill -x containerd"
    )
    cluster.node_exec(node, switch.format("false", "true"))
    try:

        def reason() -> str:
            found = condition(cluster.get("node", node) or {}, "StoppableContainerReady")
            return str(found.get("reason"))

        eventually(
            lambda: reason() == "NRIUnavailable", what="the node's condition", explain=reason
        )
        assert not cluster.agent_ready(node)
        pinned = {"nodeSelector": {"kubernetes.io/hostname": node}}
        app = make(manifest("nonri", namespace, template=pinned, command=HOLD))
        # Restarting, the runtime is away for a moment, and then that is what is said.
        eventually(
            lambda: (
                "NRIUnavailable"
                in app.wait_condition("NodeAssigned", "False", "NoReadyNode")["message"]
            ),
            what="the message names NRI",
            explain=app.explain,
        )
    finally:
        cluster.node_exec(node, switch.format("true", "false"))
    eventually(lambda: cluster.agent_ready(node), what="node ready again", deadline=90)
    app.wait_ready(deadline=90)


def test_a_foreign_pod_with_our_name_is_never_touched(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    foreign = pod("taken", namespace)
    cluster.apply(foreign)
    before = cluster.get("pod", "taken", namespace)
    app = make(manifest("taken", namespace, command=HOLD))
    app.wait_condition("ConsumerReady", "False", "NameTaken")
    after = cluster.get("pod", "taken", namespace)
    assert before
    assert after
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    cluster.kubectl("-n", namespace, "delete", "pod", "taken", "--grace-period=1")
    app.wait_ready()


def test_a_foreign_pod_with_our_labels_is_left_alone(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    """Labels and annotations are anybody's to write: only announced uids get a root."""
    app = make(manifest("real", namespace, command=HOLD))
    app.wait_ready()
    app.exec("touch", "/secret")
    consumer = app.consumer()
    assert consumer
    thief = pod("thief", namespace, node=app.node)
    for field in ("labels", "annotations"):
        thief["metadata"][field] = consumer["metadata"].get(field, {})
    cluster.apply(thief)
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/thief", "--timeout=60s")
    seen = cluster.kubectl("-n", namespace, "exec", "thief", "--", "ls", "/")
    assert "secret" not in seen
    app.stop()
    app.start()
    assert cluster.get("pod", "thief", namespace)


def pod(name: str, namespace: str, node: str = "") -> Object:
    """A bare pod."""
    spec: Object = {**copy.deepcopy(POD), "terminationGracePeriodSeconds": 0}
    if node:
        spec["nodeName"] = node
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def test_stop_while_pending_and_start_while_stopping(make: Make, namespace: str) -> None:
    app: Stoppable = make(manifest("toggle", namespace, command=HOLD))
    for running in (False, True, False, True, True, False, False, True) * 3:
        app.set_running(running)
    app.wait_ready()
    app.set_running(True)
    app.set_running(False)
    app.wait_phase("Stopped")
    assert app.consumer() is None
