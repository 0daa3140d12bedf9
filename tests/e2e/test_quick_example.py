"""The seed's quick example, word for word, and what must hold around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.cluster import condition, eventually
from tests.e2e.stoppable import HOLD, manifest

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster, Object
    from tests.e2e.conftest import Make

QUICK_EXAMPLE = """
apiVersion: stoppablecontainer.xtlsoft.top/v1alpha1
kind: StoppableContainer
metadata:
  name: my-app
spec:
  running: true
  template:
    container:
      image: nginx:latest
      command: ["nginx", "-g", "daemon off;"]
"""


def test_quick_example_keeps_what_was_written(cluster: Cluster, namespace: str) -> None:
    def kubectl(*args: str) -> str:
        return cluster.kubectl("-n", namespace, *args)

    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=QUICK_EXAMPLE)
    kubectl("wait", "--for=condition=Ready", "stoppablecontainer/my-app", "--timeout=60s")
    kubectl("exec", "my-app", "--", "sh", "-c", "echo kept > /kept; echo '# mine' >> /etc/motd")

    kubectl(
        "patch", "stoppablecontainer", "my-app", "--type=merge", "-p", '{"spec":{"running":false}}'
    )
    stopped = "--for=jsonpath={.status.phase}=Stopped"
    kubectl("wait", stopped, "stoppablecontainer/my-app", "--timeout=60s")
    assert kubectl("get", "pods", "-o", "name").split() == ["pod/my-app-provider"]

    kubectl(
        "patch", "stoppablecontainer", "my-app", "--type=merge", "-p", '{"spec":{"running":true}}'
    )
    kubectl("wait", "--for=condition=Ready", "stoppablecontainer/my-app", "--timeout=60s")
    assert kubectl("exec", "my-app", "--", "cat", "/kept").strip() == "kept"
    assert kubectl("exec", "my-app", "--", "tail", "-1", "/etc/motd").strip() == "# mine"


def test_instance_mirrors_the_parent_and_status_mirrors_back(make: Make, namespace: str) -> None:
    app = make(manifest("mirror", namespace, command=HOLD))
    app.wait_ready()

    def mirrored() -> Object | None:
        # The parent's status is written first, for it is what people wait for.
        found = app.instance() or {}
        same = found.get("status", {}).get("phase") == "Running"
        return found if same and condition(found, "Ready").get("status") == "True" else None

    instance = eventually(mirrored, what="the instance's status", deadline=30, explain=app.explain)
    parent = app.get()
    owner = instance["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["controller"]) == (
        "StoppableContainer",
        "mirror",
        True,
    )
    spec = dict(instance["spec"])
    assert spec.pop("node") == app.node
    assert spec == parent["spec"]
    for field in ("phase", "node", "nodeName", "imageDigest", "consumerPodName", "message"):
        assert parent["status"].get(field) == instance["status"].get(field), field
    assert parent["status"]["observedGeneration"] == parent["metadata"]["generation"]
    assert parent["status"]["consumerPodName"] == "mirror"
    assert parent["status"]["providerPodName"] == "mirror-provider"
    app.assert_on_kept_root()


def test_not_running_from_the_start_prepares_the_root_only(make: Make, namespace: str) -> None:
    app = make(manifest("cold", namespace, running=False, command=HOLD))
    app.wait_phase("Stopped")
    assert app.consumer() is None
    assert condition(app.get(), "RootReady")["status"] == "True"

    app.start()
    app.assert_on_kept_root()


def test_user_object_is_not_rewritten(make: Make, namespace: str) -> None:
    wanted = manifest("same", namespace, command=HOLD)
    app = make(wanted)
    app.wait_ready()
    spec = app.get()["spec"]
    spec.pop("init", None)
    assert spec == wanted["spec"]


def test_podspec_form_runs_sidecars_beside_the_root(make: Make, namespace: str) -> None:
    wanted = manifest("pair", namespace)
    wanted["spec"]["template"] = {
        "metadata": {"labels": {"team": "blue"}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {"name": "app", "image": "busybox:1", "command": HOLD},
                {"name": "side", "image": "busybox:1", "command": HOLD},
            ],
        },
    }
    app = make(wanted)
    app.wait_ready()
    consumer = app.consumer()
    assert consumer
    assert consumer["metadata"]["labels"]["team"] == "blue"
    app.assert_on_kept_root()
    app.exec("touch", "/only-in-app")
    side = app.cluster.kubectl("-n", namespace, "exec", "pair", "-c", "side", "--", "ls", "/")
    assert "only-in-app" not in side
