"""Pods and objects that are deleted: grace as asked, no data lost, nothing left behind."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.stoppable import HOLD, Stoppable, manifest, pod_manifest
from tests.e2e.test_bad_input import pod
from tests.e2e.test_persistence import leftovers

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster, Object
    from tests.e2e.conftest import Make

# Goes on after SIGTERM, and notes when that came and when it was last alive; runs but once.
DEAF = """
now() { cut -d' ' -f1 /proc/uptime; }
[ -e /alive ] && exec sleep 1000000
trap 'now > /term' TERM
while :; do now >> /alive; sleep 0.2; done
"""
LAST_WORDS = """
trap 'sleep 1; head -c 5000000 /dev/urandom > /last; sha256sum /last > /last.sum; exit 0' TERM
echo yes > /listens
while :; do sleep 0.1; done
"""


@pytest.mark.parametrize("init", [True, False])
def test_a_command_deaf_to_sigterm_has_its_whole_grace_period(
    make: Make, namespace: str, init: bool
) -> None:
    grace = 10
    deaf = {"command": ["sh", "-c", DEAF]}
    wanted = pod_manifest("deaf", namespace, deaf, terminationGracePeriodSeconds=grace)
    wanted["spec"]["init"] = init
    app = make(wanted)
    app.wait_ready()
    eventually(lambda: app.words("/alive"), what="it listens", explain=app.explain)
    app.stop()
    app.start()
    told, last = float(app.exec("cat", "/term")), float(app.exec("tail", "-n1", "/alive"))
    # A busy machine runs the trap late, and is slow to kill.
    assert grace - 4 < last - told < grace + 6


def test_what_a_sigterm_handler_writes_last_is_kept(make: Make, namespace: str) -> None:
    speaker = {"command": ["sh", "-c", LAST_WORDS]}
    app = make(pod_manifest("speaker", namespace, speaker, terminationGracePeriodSeconds=60))
    app.wait_ready()
    app.wait_words("/listens", ["yes"])
    asked = time.monotonic()
    app.stop()
    assert time.monotonic() - asked < 45, "it ended by itself, long before its grace period"
    app.start()
    assert app.sh("sha256sum -c /last.sum").strip() == "/last: OK"


def test_a_consumer_deleted_by_hand_comes_back(make: Make, namespace: str) -> None:
    app = make(manifest("byhand", namespace, command=HOLD))
    app.wait_ready()
    digest, before = app.write_marker(), app.pod_uid()
    app.cluster.kubectl("-n", namespace, "delete", "pod", "byhand")
    eventually(lambda: app.pod_uid() not in ("", before), what="a new pod", explain=app.explain)
    app.wait_ready()
    app.assert_marker(digest)
    app.assert_on_kept_root()


def test_a_foreign_pod_with_the_providers_name_is_never_touched(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    cluster.apply(pod("early-provider", namespace))
    before = cluster.get("pod", "early-provider", namespace)
    app = make(manifest("early", namespace, command=HOLD))
    seen = app.wait_condition("ConsumerReady", "False", "NameTaken")
    assert "early-provider" in seen["message"]
    app.wait_phase("Error", deadline=5)
    after = cluster.get("pod", "early-provider", namespace)
    assert before
    assert after
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert "deletionTimestamp" not in after["metadata"]
    assert app.consumer() is None

    cluster.kubectl("-n", namespace, "delete", "pod", "early-provider")
    app.wait_ready(deadline=60)
    app.assert_on_kept_root()


def slow_to_end(name: str, namespace: str) -> Object:
    # Long enough for some kubectl on a busy machine.
    deaf = {"command": ["sh", "-c", DEAF]}
    return pod_manifest(name, namespace, deaf, terminationGracePeriodSeconds=15)


def test_a_name_is_free_again_only_when_everything_of_the_old_one_is_gone(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    wanted = slow_to_end("name", namespace)
    old = make(wanted)
    old.wait_ready()
    old.write_marker()
    node, uid = old.node, old.uid
    cluster.kubectl("-n", namespace, "delete", "stc", "name", "--wait=false")
    refusal = cluster.refused("create", "-f", "-", stdin=json.dumps(wanted))
    assert "already exists" in refusal
    assert old.consumer()
    eventually(lambda: cluster.get("stc", "name", namespace) is None, what="it is gone")
    assert not any(leftovers(cluster, node, uid).values())
    new = make(wanted)
    new.wait_ready()
    assert "marker" not in new.exec("ls", "/")


def test_a_name_freed_by_force_never_brings_the_old_data(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    """The user takes the finalizer off while the old pod has still seconds to live."""
    wanted = slow_to_end("forced", namespace)
    old = make(wanted)
    old.wait_ready()
    old.write_marker()
    uid, before = old.uid, old.pod_uid()
    cluster.kubectl("-n", namespace, "delete", "stc", "forced", "--wait=false")
    cluster.kubectl(
        "-n", namespace, "patch", "stc", "forced", "--type=merge",
        "-p", '{"metadata":{"finalizers":null}}',
    )  # fmt: skip
    new = make(wanted)
    assert new.uid != uid
    assert (new.consumer() or {})["metadata"]["uid"] == before, "the old pod is already gone"
    new.wait_ready()
    assert new.pod_uid() != before
    assert "marker" not in new.exec("ls", "/")
    new.assert_on_kept_root()


def test_a_consumer_deleted_by_force_while_stopping_is_waited_for(
    make: Make, namespace: str
) -> None:
    app = make(slow_to_end("hasty", namespace))
    app.wait_ready()
    digest = app.write_marker()
    app.set_running(False)
    eventually(
        lambda: "deletionTimestamp" in (app.consumer() or {})["metadata"], what="it is stopping"
    )
    app.cluster.kubectl("-n", namespace, "delete", "pod", "hasty", "--grace-period=0", "--force")
    app.wait_phase("Stopped")
    assert app.processes() == []
    app.start()
    app.assert_marker(digest)
    app.assert_on_kept_root()


NOT_RUNNING: dict[str, Object] = {
    "unschedulable": {"template": {"nodeSelector": {"no-such-label": "x"}}, "command": HOLD},
    "noimage": {"image": "localhost/test/nothing:1", "command": HOLD},
    "too-big": {"command": HOLD, "resources": {"requests": {"cpu": "1000"}}},
    "crashing": {"command": ["sh", "-c", "exit 1"]},
}
REASONS = {
    "unschedulable": ("NodeAssigned", "Unschedulable"),
    "noimage": ("ImagePinned", "ImagePullFailed"),
    "too-big": ("ConsumerReady", "Unschedulable"),
    "crashing": ("ConsumerReady", "CrashLoopBackOff"),
}


def test_what_never_ran_is_deleted_as_cleanly(cluster: Cluster, make: Make, namespace: str) -> None:
    apps = {name: make(manifest(name, namespace, **case)) for name, case in NOT_RUNNING.items()}
    for name, app in apps.items():
        kind, reason = REASONS[name]
        app.wait_condition(kind, "False", reason)
    roots = [(app.node, app.uid) for name, app in apps.items() if name != "unschedulable"]
    cluster.kubectl("-n", namespace, "delete", "stc", "--all", "--timeout=110s")
    for node, uid in roots:
        assert not any(leftovers(cluster, node, uid).values())
    eventually(
        lambda: not cluster.objects("stci", namespace) + cluster.objects("pods", namespace),
        what="no instance and no pod left",
        explain=lambda: cluster.kubectl("-n", namespace, "get", "stci,pods"),
    )


def test_a_namespace_is_deleted_with_all_that_runs_in_it(cluster: Cluster) -> None:
    doomed = f"e2e-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", doomed)
    cluster.apply(
        manifest("runs", doomed, command=HOLD),
        manifest("stopped", doomed, running=False, command=HOLD),
    )
    apps = [Stoppable(cluster, doomed, name) for name in ("runs", "stopped")]
    apps[0].wait_ready()
    apps[1].wait_phase("Stopped")
    roots = [(app.node, app.uid) for app in apps]
    # The namespace controller looks again after half of what the longest grace period asks for.
    cluster.kubectl("delete", "namespace", doomed, "--timeout=110s")
    for node, uid in roots:
        assert not any(leftovers(cluster, node, uid).values())
