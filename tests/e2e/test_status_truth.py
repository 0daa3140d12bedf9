"""What the status says is so: names, node, digest, generation, readiness, events; at any moment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.e2e.cluster import condition, eventually
from tests.e2e.sampling import Sampling
from tests.e2e.stoppable import HOLD, manifest, pod_manifest
from tests.e2e.test_bad_input import pod

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster, Object
    from tests.e2e.conftest import Make
    from tests.e2e.stoppable import Stoppable


def test_every_field_of_the_status(cluster: Cluster, make: Make, namespace: str) -> None:
    app = make(manifest("fields", namespace, command=HOLD))
    app.wait_ready()
    found = app.get()
    status, consumer, provider = found["status"], app.consumer(), app.provider()
    assert consumer
    assert provider
    assert status["observedGeneration"] == found["metadata"]["generation"]
    assert status["node"] == status["nodeName"] == consumer["spec"]["nodeName"]
    assert provider["spec"]["nodeName"] == status["node"]
    assert status["consumerPodName"] == consumer["metadata"]["name"]
    assert status["providerPodName"] == provider["metadata"]["name"]
    assert status["message"] == ""
    assert status["image"] == "busybox:1"
    on_node = cluster.node_exec(status["node"], f"stat -c %d:%i {status['hostPath']}/").strip()
    assert app.sh("stat -c %d:%i /").strip() == on_node
    image_id = str(consumer["status"]["containerStatuses"][0]["imageID"])
    assert status["imageDigest"] == image_id.rpartition("@")[2]
    assert re.fullmatch("sha256:[0-9a-f]{64}", status["imageDigest"])

    app.stop()
    stopped = app.get()
    assert stopped["status"]["observedGeneration"] == stopped["metadata"]["generation"]
    assert stopped["status"]["consumerPodName"] == ""
    kept = ("node", "nodeName", "providerPodName", "hostPath", "image", "imageDigest")
    assert {name: stopped["status"][name] for name in kept} == {name: status[name] for name in kept}


def test_observed_generation_follows_every_change(make: Make, namespace: str) -> None:
    app = make(manifest("counted", namespace, command=HOLD))
    app.wait_ready()
    for value in ("1", "2"):
        app.patch(template={"container": {"env": [{"name": "A", "value": value}]}})
        eventually(
            lambda: (
                (found := app.get())["status"]["observedGeneration"]
                == found["metadata"]["generation"]
            ),
            what="the change observed",
            deadline=60,
            explain=app.explain,
        )
        assert condition(app.get(), "UpdatePending")["reason"] == "TemplateChanged"
        assert app.phase() == "Running"


def test_kubectl_wait_in_both_forms(cluster: Cluster, make: Make, namespace: str) -> None:
    app = make(manifest("waited", namespace, command=HOLD))
    wait = ("-n", namespace, "wait", "stc/waited", "--timeout=60s")
    cluster.kubectl(*wait, "--for=condition=Ready")
    cluster.kubectl(*wait, "--for=jsonpath={.status.phase}=Running")
    assert app.exec("true") == ""
    app.set_running(False)
    cluster.kubectl(*wait, "--for=condition=Ready=false")
    cluster.kubectl(*wait, "--for=jsonpath={.status.phase}=Stopped")
    assert app.consumer() is None
    app.set_running(True)
    cluster.kubectl(*wait, "--for=condition=Ready")
    assert app.exec("true") == ""


def test_a_wait_for_stopped_is_not_met_by_an_earlier_stop(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    """`kubectl wait` for a phase does not look at observedGeneration: the phase alone must do."""
    app = make(manifest("brief", namespace, running=False, command=HOLD))
    app.wait_phase("Stopped")
    app.set_running(True)
    eventually(app.consumer, what="the pod is there", explain=app.explain)
    app.set_running(False)
    stopped = "--for=jsonpath={.status.phase}=Stopped"
    cluster.kubectl("-n", namespace, "wait", "stc/brief", stopped, "--timeout=60s")
    assert app.consumer() is None


def test_ready_follows_the_readiness_probe(make: Make, namespace: str) -> None:
    look = {"exec": {"command": ["test", "-e", "/up"]}}
    probe = {**look, "periodSeconds": 1, "timeoutSeconds": 30, "failureThreshold": 1}
    app = make(manifest("probed", namespace, command=HOLD, readinessProbe=probe))
    for turn in range(2):
        app.wait_phase("Running")
        seen = app.wait_condition("Ready", "False", "NotReady")
        assert seen["message"]
        app.exec("touch", "/up")
        app.wait_ready(deadline=60)
        if turn == 0:
            app.exec("rm", "/up")
    assert app.phase() == "Running"


def test_running_and_stopped_are_true_whenever_they_are_shown(make: Make, namespace: str) -> None:
    """A status that is behind its generation says itself that it is not about the last wish."""
    app = make(manifest("honest", namespace, command=["sleep", "1000000"]))
    app.wait_ready()
    app.stop()
    with Sampling(app) as sampling:
        for turn in range(1, 5):
            app.start()
            sampling.wait_for("Running", turn)
            app.stop()
            sampling.wait_for("Stopped", turn)
    stopped, running = sampling.during("Stopped"), sampling.during("Running")
    # None at all would prove nothing.
    assert len(stopped) > 3
    assert len(running) > 3
    assert not [sample for sample in stopped if sample.processes]
    assert not [sample for sample in running if not sample.processes]


def test_events_tell_the_story(cluster: Cluster, make: Make, namespace: str) -> None:
    app = make(manifest("told", namespace, command=HOLD))
    app.wait_ready()
    app.stop()
    for reason in ("RootReady", "Started", "Stopped"):
        wait_event(app, "Normal", reason)
    described = cluster.kubectl("-n", namespace, "describe", "stc", "told")
    for reason in ("RootReady", "Started", "Stopped"):
        assert re.search(rf"Normal +{reason} ", described), described


NO_SUCH_CONFIG = {
    "name": "A",
    "valueFrom": {"configMapKeyRef": {"name": "no-such-map", "key": "a"}},
}
FAILURES: dict[str, tuple[str, str, Object]] = {
    "no-image": ("ImagePinned", "ImagePullFailed", {"image": "localhost/test/nothing:1"}),
    "no-config": ("ConsumerReady", "StartFailed", {"env": [NO_SUCH_CONFIG]}),
    "crashing": ("ConsumerReady", "CrashLoopBackOff", {"command": ["sh", "-c", "exit 1"]}),
    "too-big": ("ConsumerReady", "Unschedulable", {"resources": {"requests": {"cpu": "1000"}}}),
    "taken": ("ConsumerReady", "NameTaken", {}),
}


def test_each_failure_is_a_warning(cluster: Cluster, make: Make, namespace: str) -> None:
    cluster.apply(pod("taken", namespace))
    never = {"command": ["sh", "-c", "exit 4"]}
    failed = make(pod_manifest("failed", namespace, never, restartPolicy="Never"))
    apps = {
        name: make(manifest(name, namespace, **{"command": HOLD, **container}))
        for name, (_, _, container) in FAILURES.items()
    }
    expected = {name: (kind, reason) for name, (kind, reason, _) in FAILURES.items()}
    apps["failed"], expected["failed"] = failed, ("ConsumerReady", "Failed")
    for name, app in apps.items():
        kind, reason = expected[name]
        app.wait_condition(kind, "False", reason)
        event = wait_event(app, "Warning", reason)
        assert event["message"]
        described = cluster.kubectl("-n", namespace, "describe", "stc", name)
        assert re.search(rf"Warning +{reason} ", described), described


def wait_event(app: Stoppable, kind: str, reason: str) -> Object:
    """The Event of this type and reason on the StoppableContainer itself."""

    def look() -> Object | None:
        found = app.cluster.objects("events", app.namespace)
        return next(
            (
                one
                for one in found
                if one["involvedObject"]["uid"] == app.uid
                and (one["type"], one["reason"]) == (kind, reason)
            ),
            None,
        )

    return eventually(look, what=f"the event {reason} of {app.name}", deadline=60)
