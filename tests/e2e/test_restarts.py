"""A command that ends, fails or is killed: what is shown, what comes back, and what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import condition, eventually
from tests.e2e.stoppable import HOLD, pod_manifest

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster, Object
    from tests.e2e.conftest import Make
    from tests.e2e.stoppable import Stoppable

REMEDY = "set running to false, then to true"
MISSING = ["/no/such/program"]
# As much as no limit below allows, and written to, so that it is really taken.
EATS_MEMORY = "exec dd if=/dev/zero of=/dev/null bs=256M count=1"


def script(*lines: str) -> Object:
    """A container that notes each of its runs in the kept root, then does this."""
    return {"command": ["sh", "-c", "; ".join(("echo run >> /runs", *lines))]}


def from_run(number: int, *, otherwise: str) -> tuple[str, str]:
    """Hold from this run on; before it, something else."""
    return f"[ $(wc -l < /runs) -ge {number} ] || {otherwise}", "exec sleep 1000000"


def state(found: Object | None, field: str = "state") -> Object:
    """What kubelet says about the pod's first container."""
    statuses = (found or {}).get("status", {}).get("containerStatuses") or [{}]
    return dict(statuses[0].get(field) or {})


def restarts(app: Stoppable) -> int:
    return int((app.consumer() or {})["status"]["containerStatuses"][0]["restartCount"])


def has_restarted(app: Stoppable) -> bool:
    """And is ready: the object may still say so of the run before."""
    statuses = (app.consumer() or {}).get("status", {}).get("containerStatuses") or [{}]
    return statuses[0].get("restartCount") == 1 and bool(statuses[0].get("ready"))


def assert_not_run_again(app: Stoppable, told: str) -> None:
    """A status that was spoilt and is right again proves a reconcile; it changed no pod."""
    before = app.pod_uid()
    for turn in range(2):
        app.cluster.kubectl(
            "-n", app.namespace, "annotate", "stc", app.name, f"poked={turn}", "--overwrite"
        )
        app.cluster.kubectl(
            "-n", app.namespace, "patch", "stc", app.name, "--subresource=status",
            "--type=merge", "-p", '{"status":{"message":"spoilt"}}',
        )  # fmt: skip
        eventually(
            lambda: app.get()["status"]["message"] == told,
            what="the status put right",
            explain=app.explain,
        )
        assert app.pod_uid() == before


def test_a_crashing_command_is_restarted_in_place_and_heals_by_itself(
    make: Make, namespace: str
) -> None:
    app = make(pod_manifest("crash", namespace, script(*from_run(3, otherwise="exit 7"))))
    seen = app.wait_condition("ConsumerReady", "False", "CrashLoopBackOff")
    assert "exit code 7" in seen["message"]
    app.wait_phase("Error", deadline=5)
    first = app.pod_uid()

    app.wait_ready(deadline=60)
    assert app.phase() == "Running"
    assert app.pod_uid() == first
    assert restarts(app) == 2
    app.wait_words("/runs", ["run"] * 3)
    app.assert_on_kept_root()


def test_on_failure_restarts_until_exit_code_0(make: Make, namespace: str) -> None:
    done = script("[ $(wc -l < /runs) -ge 2 ] || exit 1", "exit 0")
    app = make(pod_manifest("onfailure", namespace, done, restartPolicy="OnFailure"))
    seen = app.wait_condition("ConsumerReady", "False", "Completed")
    assert REMEDY in seen["message"]
    assert app.phase() == "Pending"
    assert restarts(app) == 1
    assert_not_run_again(app, seen["message"])

    app.stop()
    app.set_running(True)
    eventually(lambda: app.runs() == 3, what="a third run", explain=app.explain)
    app.wait_condition("ConsumerReady", "False", "Completed")
    assert restarts(app) == 0


@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize("sidecars", [0, 1])
def test_never_runs_once_for_each_start(
    make: Make, namespace: str, code: int, sidecars: int
) -> None:
    """Also beside a sidecar that still runs, for which the pod's own phase stays Running."""
    reason, phase = ("Failed", "Error") if code else ("Completed", "Pending")
    containers: list[Object] = [script(f"exit {code}"), *[{"command": HOLD}] * sidecars]
    app = make(pod_manifest("never", namespace, *containers, restartPolicy="Never"))
    seen = app.wait_condition("ConsumerReady", "False", reason)
    assert f"exit code {code}" in seen["message"]
    assert REMEDY in seen["message"]
    app.wait_phase(phase, deadline=5)
    assert condition(app.get(), "Ready")["status"] == "False"
    assert_not_run_again(app, seen["message"])
    assert app.runs() == 1

    app.stop()
    app.set_running(True)
    eventually(lambda: app.runs() == 2, what="a second run", explain=app.explain)
    app.wait_condition("ConsumerReady", "False", reason)


def test_a_finished_command_stays_finished_when_its_pod_is_deleted(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    """As a drained node or a clean-up does it; a bare pod that has ended does not come back."""
    app = make(pod_manifest("done", namespace, script("exit 0"), restartPolicy="Never"))
    seen = app.wait_condition("ConsumerReady", "False", "Completed")
    cluster.kubectl("-n", namespace, "delete", "pod", "done")
    assert_not_run_again(app, seen["message"])
    assert app.pod_uid() == ""
    assert condition(app.get(), "ConsumerReady")["reason"] == "Completed"
    app.stop()
    app.set_running(True)
    eventually(lambda: app.runs() == 2, what="a second run", explain=app.explain)


def test_a_command_that_is_killed_for_its_memory(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    limits = {"limits": {"memory": "64Mi"}, "requests": {"cpu": "10m"}}
    eater = script(*from_run(2, otherwise=EATS_MEMORY)) | {"resources": limits}
    wanted = pod_manifest("eater", namespace, eater)
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "bare", "namespace": namespace},
            "spec": wanted["spec"]["template"]["spec"],
        }
    )
    app = make(wanted)
    eventually(lambda: app.runs() == 2, what="a second run", explain=app.explain)

    def killed(name: str) -> Object:
        """How it ended; the runtime may hear of the memory only after the end."""
        ended = state(cluster.get("pod", name, namespace), "lastState").get("terminated", {})
        return dict(ended) if ended.get("reason") == "OOMKilled" else {}

    ours = eventually(lambda: killed("eater"), what="killed for it", explain=app.explain)
    bare = eventually(lambda: killed("bare"), what="the bare pod, too", explain=app.explain)
    cluster.kubectl("-n", namespace, "delete", "pod", "bare", "--wait=false")
    eventually(lambda: has_restarted(app), what="ready again", explain=app.explain)
    app.wait_ready()
    assert ours["exitCode"] == bare["exitCode"]
    app.wait_words("/runs", ["run"] * 2)
    app.assert_on_kept_root()


def test_a_killed_command_under_never_says_what_killed_it(make: Make, namespace: str) -> None:
    limits = {"limits": {"memory": "64Mi"}, "requests": {"cpu": "10m"}}
    eater = script(EATS_MEMORY) | {"resources": limits}
    app = make(pod_manifest("once", namespace, eater, restartPolicy="Never"))

    def message() -> str:
        # The runtime may hear of the memory only after the end.
        said = app.wait_condition("ConsumerReady", "False", "Failed")["message"]
        return said if "OOMKilled" in said else ""

    said = eventually(message, what="what killed it", explain=app.explain)
    assert "137" in said
    assert REMEDY in said
    assert app.runs() == 1


def test_a_failing_liveness_probe_restarts_the_command_on_its_root(
    make: Make, namespace: str
) -> None:
    # /dev is no part of the root, so each run is healthy from its first moment.
    probe = {
        "exec": {"command": ["test", "!", "-e", "/dev/sick"]},
        "periodSeconds": 1,
        "timeoutSeconds": 30,
        "failureThreshold": 1,
    }
    lives = script("exec sleep 1000000") | {"livenessProbe": probe}
    app = make(pod_manifest("lively", namespace, lives))
    app.wait_ready()
    digest, first = app.write_marker(), app.pod_uid()
    app.exec("touch", "/dev/sick")
    eventually(lambda: has_restarted(app), what="a restart", explain=app.explain)
    app.wait_ready()
    assert app.pod_uid() == first
    app.wait_words("/runs", ["run"] * 2)
    app.assert_marker(digest)
    app.assert_on_kept_root()


@pytest.mark.parametrize("init", [True, False])
def test_a_command_that_does_not_exist_heals_as_soon_as_it_is_corrected(
    make: Make, namespace: str, init: bool
) -> None:
    wanted = pod_manifest("typo", namespace, {"command": MISSING})
    wanted["spec"]["init"] = init
    app = make(wanted)
    wait_for_missing(app, MISSING[0])
    set_command(app, HOLD)
    app.wait_ready(deadline=90)
    app.assert_on_kept_root()


def test_a_command_that_went_missing_heals_with_its_data(make: Make, namespace: str) -> None:
    app = make(pod_manifest("lost", namespace, {"command": HOLD}))
    app.wait_ready()
    app.sh("mkdir /own; cp /bin/busybox /own/busybox")
    digest = app.write_marker()
    app.stop()
    set_command(app, ["/own/busybox", "sleep", "1000000"])
    app.start()
    app.exec("rm", "/own/busybox")
    # The gate alone: the kernel ends the rest of its pid namespace with it (pid_namespaces(7)).
    app.cluster.node_exec(app.node, f"kill -9 {app.first_process()}")
    wait_for_missing(app, "/own/busybox")
    set_command(app, HOLD)
    app.wait_ready(deadline=90)
    app.assert_marker(digest)
    app.assert_on_kept_root()


def wait_for_missing(app: Stoppable, program: str) -> None:
    """It may be kubelet or our init that found no program: the words are the same."""

    def look() -> bool:
        message = condition(app.get(), "ConsumerReady").get("message", "")
        return program in message and "no such file or directory" in message.lower()

    eventually(look, what=f"the message names {program}", explain=app.explain)
    app.wait_phase("Error", deadline=5)
    assert condition(app.get(), "Ready")["reason"] in ("StartFailed", "CrashLoopBackOff")


def set_command(app: Stoppable, command: list[str]) -> None:
    container = {"name": "c0", "image": "busybox:1", "command": command}
    app.patch(template={"spec": {"containers": [container]}})
