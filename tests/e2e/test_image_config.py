"""What the image says holds where the template says nothing, and exec acts on the kept root."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.stoppable import manifest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.cluster import Cluster, Object
    from tests.e2e.conftest import Make

# As PID 1 a plain sleep would ignore SIGTERM for the whole grace period.
ENDS_BY_ITSELF = ["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"]
STATIC = "localhost/test/static:1"


@pytest.mark.parametrize(
    ("container", "argv"),
    [
        ({}, ["/app", "hold", "from-cmd"]),
        ({"args": ["hold", "mine"]}, ["/app", "hold", "mine"]),
        ({"command": ["/app", "hold", "only"]}, ["/app", "hold", "only"]),
        ({"command": ["/app"], "args": ["hold", "both"]}, ["/app", "hold", "both"]),
    ],
)
@pytest.mark.parametrize("init", [True, False])
def test_entrypoint_and_cmd_follow_kubernetes_rules(
    make: Make, namespace: str, container: dict[str, Any], argv: list[str], init: bool
) -> None:
    wanted = manifest("static", namespace, image=STATIC, **container)
    wanted["spec"]["init"] = init
    app = make(wanted)
    app.wait_ready()
    said = report(app.cluster, namespace)
    assert [line.split("=", 1)[1] for line in said if line.startswith("argv")] == argv
    assert "FROM_IMAGE=yes" in app.logs()
    assert "uid=1234" in said
    assert "cwd=/work" in said


def report(cluster: Cluster, namespace: str) -> list[str]:
    """What the program of the pod `static` says, when it has come to its last line."""

    def look() -> list[str]:
        said = cluster.kubectl("-n", namespace, "logs", "static").splitlines()
        return said if any(line.startswith("cwd=") for line in said) else []

    return eventually(look, what="the program's last line", deadline=60)


def test_a_scratch_image_sees_what_it_sees_in_a_bare_pod(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    """Environment, ids, arguments and directory, line by line; even the pod's name is the same."""
    app = make(manifest("static", namespace, image=STATIC))
    app.wait_ready()
    ours = report(cluster, namespace)
    cluster.kubectl("-n", namespace, "delete", "stc", "static", "--timeout=60s")
    container = {"name": "main", "image": STATIC}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "static", "namespace": namespace},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
        }
    )
    ready = ("wait", "--for=condition=Ready", "pod/static", "--timeout=110s")
    cluster.kubectl("-n", namespace, *ready)
    assert sorted(ours) == sorted(report(cluster, namespace))


RESTRICTED: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def test_restricted_namespace_exec_logs_cp_and_probe(
    cluster: Cluster, make: Make, namespace: str, tmp_path: Path
) -> None:
    """Also the provider must pass Pod Security `restricted`."""
    cluster.kubectl(
        "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted"
    )
    look = {"exec": {"command": ["test", "-e", "/tmp/alive"]}}
    probe = {**look, "periodSeconds": 1, "timeoutSeconds": 30}
    app = make(
        manifest(
            "plain",
            namespace,
            command=["sh", "-c", "echo hello; exec sleep 1000000"],
            securityContext=RESTRICTED,
            readinessProbe=probe,
        )
    )
    app.wait_phase("Running")
    said = app.sh("id -u; grep -E 'CapEff|NoNewPrivs' /proc/self/status").split()
    assert said == ["1000", "CapEff:", "0000000000000000", "NoNewPrivs:", "1"]
    eventually(lambda: app.logs().strip() == "hello", what="the line in the log", explain=app.logs)
    app.assert_on_kept_root()

    # The probe sees what exec writes: both act on the kept root.
    app.exec("touch", "/tmp/alive")
    app.wait_ready()

    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(b"copied\n")
    cluster.kubectl("-n", namespace, "cp", str(there), "plain:/tmp/copied")
    app.stop()
    app.start()  # Ready at once: /tmp/alive was kept
    cluster.kubectl("-n", namespace, "cp", "plain:/tmp/copied", str(back))
    assert back.read_bytes() == b"copied\n"


def test_a_command_that_exists_only_in_the_kept_root(make: Make, namespace: str) -> None:
    app = make(manifest("own", namespace, command=["sh", "-c", "exec ${RUN:-sleep} 1000000"]))
    app.wait_ready()
    app.sh("mkdir -p /opt; cp /bin/busybox /opt/busybox")
    app.stop()
    app.cluster.kubectl(
        "-n", namespace, "patch", "stc", "own", "--type=merge",
        "-p", '{"spec":{"template":{"container":{"command":["/opt/busybox","sleep","1000000"]}}}}',
    )  # fmt: skip
    app.start()
    eventually(lambda: "/opt/busybox" in app.exec("ps"), what="the command", explain=app.explain)


def test_sleep_stops_at_once_because_the_gate_is_an_init(make: Make, namespace: str) -> None:
    app = make(manifest("quick", namespace, command=["sleep", "1000000"]))
    app.wait_ready()
    app.set_running(False)
    app.wait_phase("Stopped", deadline=25)  # kubelet's grace period is 30 s


def test_exit_code_and_restart_in_place(make: Make, namespace: str) -> None:
    script = "echo run >> /runs; [ $(wc -l < /runs) -gt 1 ] || exit 3; exec sleep 1000000"
    app = make(manifest("crash", namespace, command=["sh", "-c", script]))

    def ran_twice() -> Object | None:
        # Without a readiness probe kubelet may call the first run Ready too.
        statuses = (app.consumer() or {}).get("status", {}).get("containerStatuses", [])
        return next((one for one in statuses if one["restartCount"] and one["ready"]), None)

    status = eventually(ran_twice, what="a second run", deadline=90, explain=app.explain)
    app.wait_ready(deadline=90)
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 3
    app.wait_words("/runs", ["run", "run"])
    app.assert_on_kept_root()


def test_without_init_the_command_is_pid_1(make: Make, namespace: str) -> None:
    wanted = manifest("noinit", namespace, command=ENDS_BY_ITSELF)
    wanted["spec"]["init"] = False
    app = make(wanted)
    app.wait_ready()
    assert app.exec("cat", "/proc/1/comm").strip() == "sh"
    app.assert_on_kept_root()
