"""Hooks and probes act on the kept root: once per start and stop, and what they find decides."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import condition, eventually
from tests.e2e.stoppable import HOLD, pod_manifest

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster, Object
    from tests.e2e.conftest import Make
    from tests.e2e.stoppable import Stoppable

# Looks often, and waits for a node that is slow to exec.
BUSY_NODE = {"periodSeconds": 1, "timeoutSeconds": 30}
# Serves grpc.health.v1 on port 9000; "mine" is SERVING while /mine exists.
HEALTH = """
import concurrent.futures, os, time, grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
servicer = health.HealthServicer()
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
server.add_insecure_port("0.0.0.0:9000")
states = health_pb2.HealthCheckResponse
server.start()
while True:
    servicer.set("mine", states.SERVING if os.path.exists("/mine") else states.NOT_SERVING)
    time.sleep(0.2)
"""


def main_status(app: Stoppable) -> Object:
    pod = app.consumer() or {"status": {}}
    statuses: list[Object] = pod["status"].get("containerStatuses", [{}])
    return statuses[0]


@pytest.mark.parametrize(("init", "mode"), [(True, "Cold"), (False, "Cold"), (True, "Warm")])
def test_hooks_run_once_per_start_and_stop_on_the_kept_root(
    make: Make, namespace: str, init: bool, mode: str
) -> None:
    """The command itself waits for postStart's file, and preStop comes before its SIGTERM."""
    command = (
        "until grep -q up /state; do sleep 0.1; done; echo run >> /events;"
        " trap 'echo term >> /events; exit 0' TERM; sleep 1000000 & wait"
    )
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo up > /state; echo start >> /events"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "rm /state; sleep 1; echo stop >> /events"]}},
    }
    container = {"command": ["sh", "-c", command], "lifecycle": hooks}
    wanted = pod_manifest("hooked", namespace, container, terminationGracePeriodSeconds=20)
    wanted["spec"] |= {"init": init, "stopMode": mode}
    app = make(wanted)
    cycle = ["start", "run", "stop", "term"]

    def events() -> list[str]:
        return app.exec("cat", "/events").split()

    for number in (0, 1):
        app.start()
        eventually(lambda: events()[-1] == "run", what="the command went on", deadline=60)
        assert events() == [*cycle * number, "start", "run"]
        app.rest() if mode == "Warm" else app.stop()
    app.start()
    assert events()[:8] == cycle * 2


def test_a_post_start_hook_that_fails_is_said_and_can_be_mended(make: Make, namespace: str) -> None:
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "echo no such licence; exit 9"]}}}
    app = make(pod_manifest("unlicensed", namespace, {"command": HOLD, "lifecycle": hook}))

    def said() -> bool:
        seen = condition(app.get(), "ConsumerReady")
        # For moments kubelet names only the container's end, or nothing: its pod is not ready.
        known = seen.get("reason") in ("StartFailed", "CrashLoopBackOff", "NotReady")
        return known and "PostStart" in str(seen.get("message"))

    eventually(said, what="the failed hook in the status", explain=app.explain)
    app.cluster.kubectl(
        "-n", namespace, "patch", "stc", "unlicensed", "--type=json",
        "-p", '[{"op":"remove","path":"/spec/template/spec/containers/0/lifecycle"}]',
    )  # fmt: skip
    app.wait_ready()


def test_a_failing_liveness_probe_restarts_in_place_and_keeps_the_data(
    make: Make, namespace: str
) -> None:
    # /dev is no part of the root, so the next run is healthy from its first moment.
    probe = {"exec": {"command": ["test", "!", "-e", "/dev/sick"]}, **BUSY_NODE}
    container = {"command": HOLD, "livenessProbe": {**probe, "failureThreshold": 1}}
    app = make(pod_manifest("lively", namespace, container))
    app.wait_ready()
    digest, before = app.write_marker(), app.consumer()
    app.exec("touch", "/dev/sick")
    eventually(
        lambda: main_status(app).get("restartCount") == 1 and main_status(app)["ready"],
        what="a restart in place",
        explain=app.explain,
    )
    after = app.consumer()
    assert before
    assert after
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    app.wait_ready()
    app.assert_marker(digest)
    app.assert_on_kept_root()


def test_ready_follows_the_readiness_probe(make: Make, namespace: str) -> None:
    probe = {"exec": {"command": ["test", "-e", "/ready"]}, **BUSY_NODE}
    container = {"command": HOLD, "readinessProbe": {**probe, "failureThreshold": 1}}
    app = make(pod_manifest("picky", namespace, container))
    app.wait_condition("ConsumerReady", "False", "NotReady")
    app.wait_phase("Running")
    assert not app.is_ready()
    app.exec("touch", "/ready")
    app.wait_ready()
    app.exec("rm", "/ready")
    app.wait_condition("Ready", "False", "NotReady")
    assert app.phase() == "Running"
    assert main_status(app)["restartCount"] == 0


def test_grpc_probes(cluster: Cluster, make: Make, namespace: str) -> None:
    """With the product's own image, because it brings a gRPC server."""
    agent = cluster.agent_pod(cluster.nodes()[0])
    assert agent
    container = {
        "image": agent["spec"]["containers"][0]["image"],
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", HEALTH],
        "startupProbe": {"grpc": {"port": 9000}, "periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": {"grpc": {"port": 9000, "service": "mine"}, "periodSeconds": 1},
    }
    app = make(pod_manifest("served", namespace, container))
    eventually(
        lambda: main_status(app).get("started"), what="the startup probe", explain=app.explain
    )
    app.wait_condition("ConsumerReady", "False", "NotReady")
    app.exec("touch", "/mine")
    app.wait_ready()


def test_a_command_that_ignores_sigterm_has_its_grace_period_and_no_more(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    # Appended, for it is killed at any moment, also between emptying a file and writing it.
    deaf = "trap '' TERM; while :; do date +%s >> /last; sync /last; sleep 0.2; done"
    container = {"command": ["sh", "-c", deaf]}
    app = make(pod_manifest("deaf", namespace, container, terminationGracePeriodSeconds=4))
    app.wait_ready()
    began = time.time()
    app.set_running(False)
    app.wait_phase("Stopped", deadline=60)
    app.cluster.kubectl(
        "-n", namespace, "patch", "stc", "deaf", "--type=json",
        "-p", json.dumps([
            {"op": "replace", "path": "/spec/template/spec/containers/0/command",
             "value": ["sleep", "1000000"]},
        ]),
    )  # fmt: skip
    app.start()
    lived = int(app.exec("tail", "-n1", "/last")) - began
    # A busy machine is slow to tell it; without a period of its own it would have 30 s.
    assert 2 < lived < 25, f"it ran on for {lived:.0f} s"
