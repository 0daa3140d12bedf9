"""Other containers of the pod, and what kubectl does with a running one: attach, forward, debug."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import time
import urllib.request
from typing import TYPE_CHECKING

from tests.e2e.cluster import condition, eventually
from tests.e2e.stoppable import HOLD, manifest, pod_manifest

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster, Object
    from tests.e2e.conftest import Make

ENDLESS = "trap 'exit 0' TERM; sleep 1000000 & wait"
GATE = "e2e.example/queue"


def test_init_containers_and_sidecars_come_first_at_each_start_and_keep_nothing(
    make: Make, namespace: str
) -> None:
    mount = {"name": "common", "mountPath": "/common"}
    note = "[ ! -e /mine ] || echo again >> /common/order; touch /mine; echo {} >> /common/order"
    about = {"image": "busybox:1", "volumeMounts": [mount]}
    first = {"name": "first", "command": ["sh", "-c", note.format("first")], **about}
    sidecar = {
        "name": "sidecar",
        "command": ["sh", "-c", f"{note.format('sidecar')}; {ENDLESS}"],
        "restartPolicy": "Always",
        "startupProbe": {
            "exec": {"command": ["grep", "sidecar", "/common/order"]},
            "periodSeconds": 1,
            "timeoutSeconds": 30,
            "failureThreshold": 60,
        },
        **about,
    }
    last = {"name": "last", "command": ["sh", "-c", note.format("last")], **about}
    command = f"echo main >> /common/order; cat /common/order >> /orders; {ENDLESS}"
    app = make(
        pod_manifest(
            "ordered",
            namespace,
            {"command": ["sh", "-c", command], "volumeMounts": [mount]},
            initContainers=[first, sidecar, last],
            volumes=[{"name": "common", "emptyDir": {}}],
        )
    )
    app.wait_ready()
    order = ["first", "sidecar", "last", "main"]
    app.wait_words("/orders", order)
    app.stop()
    app.start()
    app.wait_words("/orders", order * 2)
    app.assert_on_kept_root()
    assert "orders" not in app.cluster.kubectl(
        "-n", namespace, "exec", "ordered", "-c", "sidecar", "--", "ls", "/"
    )


def test_an_init_container_that_fails_for_good_ends_the_pod_and_is_said(
    make: Make, namespace: str
) -> None:
    first = {"name": "first", "image": "busybox:1", "command": ["sh", "-c", "exit 3"]}
    app = make(
        pod_manifest(
            "refused", namespace, {"command": HOLD}, initContainers=[first], restartPolicy="Never"
        )
    )
    seen = app.wait_condition("ConsumerReady", "False", "Failed")
    assert "first" in seen["message"]
    assert "3" in seen["message"]
    assert app.phase() == "Error"


def test_two_of_the_same_image_share_nothing(cluster: Cluster, make: Make, namespace: str) -> None:
    one, two = (make(manifest(name, namespace, command=HOLD)) for name in ("one", "two"))
    for app in (one, two):
        app.wait_ready()
        app.sh("echo $HOSTNAME > /name; echo $HOSTNAME >> /etc/passwd; rm -r /var/www")
    assert one.sh("cat /name; tail -1 /etc/passwd").split() == ["one", "one"]
    assert two.sh("cat /name; tail -1 /etc/passwd").split() == ["two", "two"]
    cluster.kubectl("-n", namespace, "delete", "stc", "one", "--timeout=60s")
    two.stop()
    three = make(manifest("one", namespace, command=HOLD))
    three.wait_ready()
    assert three.sh("ls /; ls /var").split().count("name") == 0
    assert "www" in three.exec("ls", "/var")
    two.start()
    assert two.sh("cat /name; tail -1 /etc/passwd").split() == ["two", "two"]
    assert "www" not in two.exec("ls", "/var")


def on_terminal(cluster: Cluster, *args: str, dialogue: list[tuple[str, str]]) -> None:
    """Run kubectl on a terminal; type each first, then wait until the second was shown."""
    ours, theirs = pty.openpty()
    argv = [cluster.kubectl_path, "--kubeconfig", cluster.kubeconfig, *args]
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs) as kubectl:
        try:
            for typed, wanted in dialogue:
                os.write(ours, typed.encode())
                shown, end = "", time.monotonic() + 30
                while not re.search(wanted, shown):
                    assert time.monotonic() < end, f"{wanted} is not shown:\n{shown}"
                    if select.select([ours], [], [], 0.2)[0]:
                        shown += os.read(ours, 4096).decode("utf-8", "replace")
        finally:
            kubectl.terminate()
    os.close(ours)
    os.close(theirs)


def test_attach_gives_a_terminal_with_job_control_on_the_kept_root(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    container = {"command": ["sh"], "stdin": True, "tty": True}
    app = make(pod_manifest("screen", namespace, container))
    app.wait_ready()
    dialogue = [
        ("\r", r"# "),
        ("tty; echo typed-$((6*7)) > /typed; cat /typed\r", r"/dev/\S+\s+typed-42"),
        # Said by what ^C then ends; the shell itself may not have got to its next command yet.
        ("sh -c 'echo now-$((6*7)); exec sleep 1000'\r", r"now-42"),
        ("\x03", r"\^C\s+/ # "),
        ("echo after-$((6*7))\r", r"after-42"),
    ]
    on_terminal(cluster, "-n", namespace, "attach", "-it", "screen", dialogue=dialogue)
    assert app.exec("cat", "/typed").strip() == "typed-42"
    assert "sleep 1000" not in app.exec("ps")
    app.stop()
    app.start()
    assert app.exec("cat", "/typed").strip() == "typed-42"


def test_attach_gives_standard_input_without_a_terminal(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    container = {"command": ["sh", "-c", "read x; echo $x > /read; cat"]}
    app = make(pod_manifest("pipe", namespace, {**container, "stdin": True}))
    app.wait_ready()
    lines = ["hello", "and more"]
    argv = [cluster.kubectl_path, "--kubeconfig", cluster.kubeconfig, "-n", namespace]
    with subprocess.Popen(
        [*argv, "attach", "-i", "pipe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as attached:
        try:
            assert attached.stdin
            assert attached.stdout
            attached.stdin.write("".join(f"{line}\n" for line in lines).encode())
            attached.stdin.flush()
            assert attached.stdout.readline().decode().strip() == "and more"
        finally:
            attached.terminate()
    assert app.exec("cat", "/read").strip() == "hello"


def test_port_forward_reaches_the_container(cluster: Cluster, make: Make, namespace: str) -> None:
    serve = "echo $HOSTNAME > /tmp/name; exec httpd -f -p 8080 -h /tmp"
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    container = {"command": ["sh", "-c", serve], "readinessProbe": probe}
    app = make(pod_manifest("web", namespace, container))
    app.wait_ready()
    argv = [cluster.kubectl_path, "--kubeconfig", cluster.kubeconfig, "-n", namespace]
    with subprocess.Popen(
        [*argv, "port-forward", "pod/web", ":8080"], stdout=subprocess.PIPE
    ) as forward:
        try:
            assert forward.stdout
            port = re.search(r"127.0.0.1:(\d+)", forward.stdout.readline().decode())
            assert port
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"http://127.0.0.1:{port[1]}/name", timeout=20) as answer:
                assert answer.read().strip() == b"web"
        finally:
            forward.terminate()


def test_a_debug_container_sees_the_kept_root_and_leaves_with_the_pod(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    app = make(manifest("patient", namespace, command=HOLD))
    app.wait_ready()
    app.sh("echo inside > /finding")
    look = "ps; cat /proc/1/root/finding; echo helped > /proc/1/root/treatment"
    cluster.kubectl(
        "-n", namespace, "debug", "patient", "--image=busybox:1", "--target=main",
        "--container=doctor", "--profile=general", "--", "sh", "-c", look,
    )  # fmt: skip

    def seen() -> str:
        statuses = (app.consumer() or {})["status"].get("ephemeralContainerStatuses", [{}])
        ended = "terminated" in statuses[0].get("state", {})
        return app.logs("-c", "doctor") if ended else ""

    said = eventually(seen, what="the debug container ended", explain=app.explain)
    assert "sleep 1000000" in said
    assert "inside" in said
    assert app.exec("cat", "/treatment").strip() == "helped"
    app.assert_on_kept_root()
    app.stop()
    app.start()
    assert "ephemeralContainers" not in (app.consumer() or {})["spec"]
    assert app.exec("cat", "/treatment").strip() == "helped"


def test_a_scheduling_gate_holds_each_start_until_somebody_removes_it(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    """As a queue does: the root is prepared meanwhile."""
    app = make(
        pod_manifest("queued", namespace, {"command": HOLD}, schedulingGates=[{"name": GATE}])
    )
    for start in (1, 2):
        seen = app.wait_condition("ConsumerReady", "False", "SchedulingGated")
        assert "gate" in seen["message"]
        assert app.phase() == "Pending"
        assert condition(app.get(), "RootReady")["status"] == "True"
        assert "nodeName" not in (app.consumer() or {})["spec"]
        remove = [{"op": "remove", "path": "/spec/schedulingGates"}]
        cluster.kubectl(
            "-n", namespace, "patch", "pod", "queued", "--type=json", "-p", json.dumps(remove)
        )
        app.wait_ready()
        assert app.sh("echo run >> /runs; wc -l < /runs").strip() == str(start)
        app.stop()
        app.set_running(True)


def test_the_hosts_network_and_its_port_are_free_again_when_stopped(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    serve = "echo run >> /runs; exec httpd -f -p 127.0.0.1:18080 -h /"
    container: Object = {
        "command": ["sh", "-c", serve],
        "ports": [{"containerPort": 18080}],
        "readinessProbe": {"tcpSocket": {"host": "127.0.0.1", "port": 18080}, "periodSeconds": 1},
    }
    app = make(pod_manifest("host", namespace, container, hostNetwork=True))
    app.wait_ready()
    get = r'printf "GET /runs HTTP/1.0\r\n\r\n"'
    ask = f"exec 3<>/dev/tcp/127.0.0.1/18080; {get} >&3; cat <&3"
    assert "run" in cluster.node_exec(app.node, f"bash -c '{ask}'").split()
    app.stop()
    app.start()
    assert app.exec("cat", "/runs").split() == ["run", "run"]


def test_a_limit_of_ephemeral_storage_does_not_count_the_kept_root(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    """An eviction would not free it. Beside it a bare pod shows that kubelet looks."""
    spec: Object = {
        "terminationGracePeriodSeconds": 1,
        "containers": [
            {
                "name": "main",
                "image": "busybox:1",
                "command": ["sh", "-c", "head -c 8000000 /dev/zero > /big; sleep 1000000"],
                "resources": {"limits": {"ephemeral-storage": "2Mi"}},
            }
        ],
    }
    app = make(pod_manifest("kept", namespace, *spec["containers"]))
    app.wait_ready()
    before = app.consumer()
    about = {"name": "bare", "namespace": namespace}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec})

    def evicted() -> bool:
        status = (cluster.get("pod", "bare", namespace) or {"status": {}})["status"]
        return bool(status.get("reason") == "Evicted")

    eventually(evicted, what="the bare pod is evicted", deadline=180)
    after = app.consumer()
    assert before
    assert after
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["phase"] == "Running"
