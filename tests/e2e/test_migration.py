"""Manifests and leftovers of an earlier implementation of the same API: taken as they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.e2e.cluster import eventually
from tests.e2e.stoppable import API_VERSION, HOLD, Stoppable, manifest

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster, Object
    from tests.e2e.conftest import Make

GROUP = "stoppablecontainer.xtlsoft.top"
OLD_FINALIZER = "stoppablecontainerinstance.xtlsoft.top/finalizer"

POD_TEMPLATE = """
apiVersion: stoppablecontainer.xtlsoft.top/v1alpha1
kind: StoppableContainer
metadata: {name: with-pod}
spec:
  running: true
  hostPathPrefix: /var/lib/stoppablecontainer
  provider:
    resources:
      requests: {memory: 16Mi, cpu: 5m}
      limits: {memory: 64Mi, cpu: 100m}
    nodeSelector: {kubernetes.io/os: linux}
    tolerations: [{key: stoppable, operator: Exists}]
  template:
    metadata:
      name: with-pod
      creationTimestamp: null
      labels: {app: demo}
      annotations: {team: blue}
    spec:
      nodeName: somewhere-else
      restartPolicy: Always
      initContainers:
        - {name: first, image: "busybox:1", command: ["true"]}
      containers:
        - name: shell
          image: busybox:1
          command: [sh, -c, "echo up; exec sleep 1000000"]
          env: [{name: GREETING, value: hello}]
          volumeMounts: [{name: scratch, mountPath: /scratch}]
      volumes: [{name: scratch, emptyDir: {}}]
"""

SHORT = """
apiVersion: stoppablecontainer.xtlsoft.top/v1alpha1
kind: StoppableContainer
metadata: {name: short}
spec:
  running: true
  hostPathPrefix: /var/lib/stoppablecontainer
  template:
    metadata: {labels: {app: demo}}
    container:
      image: busybox:1
      imagePullPolicy: IfNotPresent
      command: [sh, -c, "echo up; exec sleep 1000000"]
      workingDir: /srv
      env: [{name: GREETING, value: hello}]
      resources: {requests: {cpu: 5m, memory: 16Mi}}
      ports: [{containerPort: 8080}]
      securityContext: {runAsUser: 0}
      volumeMounts: [{name: scratch, mountPath: /scratch}]
    initContainers:
      - {name: first, image: "busybox:1", command: ["true"]}
    volumes: [{name: scratch, emptyDir: {}}]
    serviceAccountName: default
    nodeSelector: {kubernetes.io/os: linux}
    affinity: {}
    tolerations: [{key: stoppable, operator: Exists}]
    hostNetwork: false
    dnsPolicy: ClusterFirst
    imagePullSecrets: [{name: registry}]
"""


@pytest.mark.parametrize("text", [POD_TEMPLATE, SHORT], ids=["pod-template", "short"])
def test_a_manifest_works_unchanged(cluster: Cluster, namespace: str, text: str) -> None:
    wanted = yaml.safe_load(text)
    name = wanted["metadata"]["name"]
    if "nodeName" in wanted["spec"]["template"].get("spec", {}):
        # The other implementation ignored it; here it chooses the node.
        wanted["spec"]["template"]["spec"]["nodeName"] = cluster.nodes()[-1]
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(wanted))
    app = Stoppable(cluster, namespace, name)
    app.wait_ready()
    consumer, provider = app.consumer(), app.provider()
    assert consumer
    assert provider
    for pod, role in ((consumer, "consumer"), (provider, "provider")):
        labels = pod["metadata"]["labels"]
        assert labels[f"{GROUP}/managed-by"] == "stoppablecontainer"
        assert labels[f"{GROUP}/instance"] == name
        assert labels[f"{GROUP}/role"] == role
    assert consumer["metadata"]["labels"]["app"] == "demo"
    assert app.sh("echo $GREETING; mount | grep -c ' /scratch '").split() == ["hello", "1"]
    digest = app.write_marker()
    app.stop()
    app.start()
    app.assert_marker(digest)
    status = app.get()["status"]
    assert status["instanceName"] == name
    assert status["nodeName"] == app.node


def test_running_need_not_be_said(make: Make, namespace: str) -> None:
    wanted = manifest("quiet", namespace, command=HOLD)
    del wanted["spec"]["running"]
    app = make(wanted)
    app.wait_phase("Stopped")
    assert app.get()["spec"]["running"] is False
    app.start()


def old_instance(app: Stoppable) -> Object:
    """The instance as the other controller made it: its finalizer, and a field of its own."""
    parent = app.get()
    owner = {
        "apiVersion": API_VERSION,
        "kind": "StoppableContainer",
        "name": app.name,
        "uid": parent["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "StoppableContainerInstance",
        "metadata": {
            "name": app.name,
            "namespace": app.namespace,
            "finalizers": [OLD_FINALIZER],
            "ownerReferences": [owner],
        },
        "spec": {"running": True, "template": parent["spec"]["template"]},
    }


def old_pod(app: Stoppable, instance: Object, role: str) -> Object:
    owner = {
        "apiVersion": API_VERSION,
        "kind": "StoppableContainerInstance",
        "name": app.name,
        "uid": instance["metadata"]["uid"],
        "controller": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": app.name if role == "consumer" else f"{app.name}-provider",
            "namespace": app.namespace,
            "labels": {
                f"{GROUP}/managed-by": "stoppablecontainer",
                f"{GROUP}/instance": app.name,
                f"{GROUP}/role": role,
            },
            "ownerReferences": [owner],
        },
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": role, "image": "busybox:1", "command": HOLD}],
        },
    }


@pytest.mark.alone
def test_pods_that_hold_old_data_are_kept_until_somebody_deletes_them(
    cluster: Cluster, namespace: str
) -> None:
    """Both controllers are away while the objects of the past are made, as in a real switch."""
    deployment = ("-n", "stoppablecontainer-system", "deploy/stoppablecontainer-controller")
    cluster.kubectl("scale", *deployment, "--replicas=0")
    try:
        cluster.apply(manifest("old", namespace, command=HOLD))
        app = Stoppable(cluster, namespace, "old")
        made = cluster.kubectl(
            "create", "-o", "json", "-f", "-", stdin=json.dumps(old_instance(app))
        )
        instance = json.loads(made)
        cluster.apply(*(old_pod(app, instance, role) for role in ("consumer", "provider")))
        before = {pod["metadata"]["uid"] for pod in cluster.objects("pods", namespace)}
    finally:
        cluster.kubectl("scale", *deployment, "--replicas=2")
    seen = app.wait_condition("ConsumerReady", "False", "NameTaken")
    assert "docs/migrating.md" in seen["message"]
    assert {pod["metadata"]["uid"] for pod in cluster.objects("pods", namespace)} == before
    assert OLD_FINALIZER not in ((app.instance() or {})["metadata"].get("finalizers") or [])

    cluster.kubectl("-n", namespace, "delete", "pod", "old", "old-provider")
    app.wait_ready()
    app.assert_on_kept_root()
    assert (app.instance() or {})["metadata"]["uid"] == instance["metadata"]["uid"]
    cluster.kubectl("-n", namespace, "delete", "stc", "old", "--timeout=60s")
    eventually(lambda: app.instance() is None, what="the instance is gone")
