"""stopMode Warm: the pod stays, nothing of the user's runs in it, and it says so everywhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import condition, eventually
from tests.e2e.stoppable import HOLD, pod_manifest

if TYPE_CHECKING:
    from typing import Any

    from tests.e2e.cluster import Cluster, Object
    from tests.e2e.conftest import Make
    from tests.e2e.stoppable import Stoppable

EVERY_SECOND = {"periodSeconds": 1, "timeoutSeconds": 10}
# Says what it was started with, and that it ends when it is asked to; begun is said when all is so.
OBEYS = (
    "env > /env; id > /id; trap 'echo term >> /runs; exit 0' TERM; echo run >> /runs; "
    "sleep 1000000 & wait"
)


def warm(name: str, namespace: str, container: Object, mode: str = "Warm", **pod: Any) -> Object:
    wanted = pod_manifest(name, namespace, container, **pod)
    wanted["spec"]["stopMode"] = mode
    return wanted


def has_restarted(app: Stoppable) -> bool:
    """And is ready by kubelet's word: the object may still say so of the run before."""
    found = app.container()
    return bool(found["restartCount"] == 1 and found["ready"]) and app.is_ready()


def kind_of_last(app: Stoppable, which: str) -> str:
    return str(app.get()["status"][which]["mode"])


def test_a_warm_stop_and_start_use_the_same_container(make: Make, namespace: str) -> None:
    container = {"command": ["sh", "-c", OBEYS], "env": [{"name": "COLOUR", "value": "blue"}]}
    app = make(warm("same", namespace, container, terminationGracePeriodSeconds=20))
    app.wait_ready()
    app.wait_words("/runs", ["run"])
    digest, before = app.write_marker(), app.container()
    environment, who = app.exec("cat", "/env"), app.exec("cat", "/id")
    for number in (1, 2):
        app.rest()
        (gate,) = app.processes()
        assert "supervise" in app.cluster.node_exec(app.node, f"cat /proc/{gate}/cmdline")
        assert kind_of_last(app, "lastStop") == "Warm"
        app.start()
        assert kind_of_last(app, "lastStart") == "Warm"
        app.wait_words("/runs", ["run", *["term", "run"] * number])
    after = app.container()
    assert (after["containerID"], after["restartCount"]) == (before["containerID"], 0)
    assert (app.exec("cat", "/env"), app.exec("cat", "/id")) == (environment, who)
    app.assert_marker(digest)
    app.assert_on_kept_root()


def test_a_stopped_container_gets_nothing_from_its_service(
    make: Make, namespace: str, cluster: Cluster
) -> None:
    port = {"port": 80}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"selector": {"app": "web"}, "ports": [port]},
    }
    cluster.apply(service)
    wanted = warm("web", namespace, {"command": HOLD})
    wanted["spec"]["template"]["metadata"] = {"labels": {"app": "web"}}
    app = make(wanted)

    def ready() -> list[bool]:
        slices = cluster.objects("endpointslices", namespace, "kubernetes.io/service-name=web")
        ends = [end for one in slices for end in one.get("endpoints") or []]
        return [end["conditions"]["ready"] for end in ends]

    app.wait_ready()
    eventually(lambda: ready() == [True], what="the Service sends to the pod")
    app.rest()
    eventually(lambda: ready() == [False], what="the Service sends nothing", deadline=60)
    app.start()
    eventually(lambda: ready() == [True], what="the Service sends to the pod again")


def test_exec_repairs_a_stopped_container(make: Make, namespace: str) -> None:
    app = make(warm("mended", namespace, {"command": HOLD}))
    app.wait_ready()
    app.rest()
    assert condition(app.get(), "PodKept")["reason"] == "Stopped"
    app.sh("echo mended > /note; sleep 1000000 >/dev/null 2>&1 & sync")
    app.assert_on_kept_root()
    app.start()
    assert app.exec("cat", "/note").strip() == "mended"


@pytest.mark.parametrize("shared", [False, True])
def test_nothing_of_the_users_is_left_running(make: Make, namespace: str, shared: bool) -> None:
    """Sessions, orphans, what ignores SIGTERM, what has another uid and its own session."""
    script = (
        "trap '' TERM; (setsid sleep 1000001 &); (su nobody -s /bin/sh -c 'sleep 1000002' &);"
        " exec sleep 1000003"
    )
    container = {"command": ["sh", "-c", script]}
    app = make(warm("crowded", namespace, container, shareProcessNamespace=shared))
    app.wait_ready()
    app.sh("setsid sleep 1000004 >/dev/null 2>&1 &")
    eventually(lambda: len(app.processes()) >= 5, what="all five processes", explain=app.explain)
    app.rest()
    (gate,) = app.processes()
    assert "supervise" in app.cluster.node_exec(app.node, f"cat /proc/{gate}/cmdline")
    app.start()


def test_probes_leave_a_stopped_container_alone_and_kill_a_hung_one(
    make: Make, namespace: str
) -> None:
    serve = "mkdir -p /www; echo ok > /www/index.html; exec httpd -f -p 8080 -h /www"
    probe = {"httpGet": {"path": "/index.html", "port": "web"}, **EVERY_SECOND}
    container = {
        "command": ["sh", "-c", serve],
        "ports": [{"name": "web", "containerPort": 8080}],
        "startupProbe": {**probe, "failureThreshold": 30},
        "livenessProbe": {**probe, "failureThreshold": 2},
        "readinessProbe": probe,
    }
    app = make(warm("served", namespace, container))
    app.wait_ready()
    first = app.container()["containerID"]
    app.rest()
    # Long enough for kubelet to have killed it four times over.
    unhealthy = eventually_unready(app)
    assert unhealthy["restartCount"] == 0
    app.start()
    assert app.container()["containerID"] == first
    app.exec("rm", "/www/index.html")
    eventually(
        lambda: has_restarted(app),
        what="killed by its liveness probe, and healthy again",
        explain=app.explain,
    )
    app.assert_on_kept_root()


def eventually_unready(app: Stoppable) -> Object:
    """What kubelet says after its readiness probe has failed several times on purpose."""

    def failed_often() -> bool:
        found = app.cluster.objects("events", app.namespace)
        about = [one for one in found if one.get("reason") == "Unhealthy"]
        return sum(int(one.get("count") or 1) for one in about) >= 4

    eventually(failed_often, what="readiness probes that say stopped", explain=app.explain)
    return app.container()


def test_a_command_that_ends_is_run_again_by_kubelet(make: Make, namespace: str) -> None:
    script = (
        "echo run >> /runs; trap 'exit 0' TERM; until [ -e /dev/end ]; do sleep 0.1; done; exit 3"
    )
    app = make(warm("ends", namespace, {"command": ["sh", "-c", script]}))
    app.wait_ready()
    app.wait_words("/runs", ["run"])
    app.rest()
    app.start()
    app.wait_words("/runs", ["run"] * 2)
    app.exec("touch", "/dev/end")
    eventually(lambda: has_restarted(app), what="run again in place", explain=app.explain)
    assert app.container()["lastState"]["terminated"]["exitCode"] == 3
    app.wait_words("/runs", ["run"] * 3)
    app.rest()
    app.start()
    app.wait_words("/runs", ["run"] * 4)


def test_another_template_makes_the_next_start_cold(make: Make, namespace: str) -> None:
    app = make(warm("changed", namespace, {"command": HOLD}))
    app.wait_ready()
    digest = app.write_marker()
    app.rest()
    new = [{"name": "NEW", "value": "1"}]
    container = {"name": "c0", "image": "busybox:1", "command": HOLD, "env": new}
    app.patch(template={"spec": {"containers": [container]}})
    eventually(lambda: app.consumer() is None, what="the stopped pod goes", explain=app.explain)
    app.wait_phase("Stopped")
    app.start()
    assert app.sh("echo $NEW").strip() == "1"
    assert app.get()["status"]["lastStart"]["mode"] == "Cold"
    assert app.get()["status"]["lastStart"]["reason"] == "TemplateChanged"
    app.assert_marker(digest)


def test_a_stopped_pod_that_is_evicted_starts_cold(make: Make, namespace: str) -> None:
    app = make(warm("evicted", namespace, {"command": HOLD}))
    app.wait_ready()
    digest = app.write_marker()
    app.rest()
    app.cluster.kubectl("-n", namespace, "delete", "pod", app.name)
    app.wait_phase("Stopped")
    app.start()
    assert app.get()["status"]["lastStart"]["mode"] == "Cold"
    app.assert_marker(digest)


def test_a_frozen_container_goes_on_where_it_was(make: Make, namespace: str) -> None:
    """A number that only lives in memory survives, and does not grow while it is frozen."""
    # Moved to its place, so that there is a whole number at whatever moment it is frozen.
    count = "cd /dev/shm; n=0; while :; do n=$((n+1)); echo $n > m; mv m n; sleep 0.05; done"
    container = {"command": ["sh", "-c", count], "livenessProbe": _looks_inside()}
    app = make(warm("ice", namespace, container, mode="Freeze"))
    app.wait_ready()
    eventually(lambda: int((app.words("/dev/shm/n") or ["0"])[0]) > 5, what="it counts")
    app.rest()
    assert kind_of_last(app, "lastStop") == "Freeze"
    kept = condition(app.get(), "PodKept")
    assert (kept["reason"], "memory" in kept["message"]) == ("Frozen", True)
    where = f"/proc/{app.first_process()}/root/dev/shm/n"
    frozen = int(app.cluster.node_exec(app.node, f"cat {where}"))
    assert int(app.cluster.node_exec(app.node, f"cat {where}")) == frozen
    app.start()
    assert int(app.cluster.node_exec(app.node, f"cat {where}")) >= frozen
    assert app.container()["restartCount"] == 0
    assert kind_of_last(app, "lastStart") == "Freeze"


def _looks_inside() -> Object:
    look = {"exec": {"command": ["ls", "/dev/shm"]}, "failureThreshold": 1}
    return look | EVERY_SECOND | {"timeoutSeconds": 30}


@pytest.mark.parametrize("way", ["object", "pod"])
def test_a_frozen_container_that_is_deleted_ends_cleanly(
    make: Make, namespace: str, way: str
) -> None:
    listen = "trap 'echo term > /end; exit 0' TERM; echo yes > /listens"
    command = ["sh", "-c", f"{listen}; sleep 1000000 & wait"]
    wanted = warm("melts", namespace, {"command": command}, mode="Freeze")
    wanted["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 60
    app = make(wanted)
    app.wait_ready()
    app.wait_words("/listens", ["yes"])
    app.rest()
    if way == "object":
        app.delete()
        return
    app.cluster.kubectl("-n", namespace, "delete", "pod", app.name, "--timeout=50s")
    app.wait_phase("Stopped")
    app.start()
    assert app.exec("cat", "/end").strip() == "term"


def test_what_cannot_be_stopped_in_its_pod_says_so(make: Make, namespace: str) -> None:
    wanted = pod_manifest("pair", namespace, {"command": HOLD}, {"command": HOLD})
    wanted["spec"]["stopMode"] = "Warm"
    app = make(wanted)
    app.wait_ready()
    assert condition(app.get(), "PodKept")["reason"] == "Unsupported"
    app.stop()
    assert kind_of_last(app, "lastStop") == "Cold"


def test_stage_times_sum_to_the_total(make: Make, namespace: str) -> None:
    app = make(pod_manifest("timed", namespace, {"command": HOLD}))
    app.wait_ready()
    app.stop()
    app.start()
    status = app.get()["status"]
    for which in ("lastStart", "lastStop"):
        told = status[which]
        assert sum(one["microseconds"] for one in told["stages"]) == told["microseconds"], told
    names = [one["name"] for one in status["lastStart"]["stages"]]
    # In whatever place: it is passed when the controller hears of it.
    assert "scheduled" in names
    expected = ["podCreated", "rootSwapped", "rootVerified", "commandRunning", "ready"]
    assert [one for one in names if one in expected] == expected, json.dumps(status, indent=1)
