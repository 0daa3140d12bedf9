"""`running` changed at any time, and faster than anything can follow: the last word counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.stoppable import HOLD, manifest, pod_manifest
from tests.e2e.test_persistence import leftovers
from tests.e2e.toggler import PodWatch, toggle

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster
    from tests.e2e.conftest import Make
    from tests.e2e.stoppable import Stoppable

# Deaf to SIGTERM, so that an old one is still there when the next one is wanted.
WRITER = """
trap '' TERM; me=$(cat /proc/sys/kernel/random/uuid)
while :; do echo $me >> /writers; usleep 10000; done
"""
# Takes its time to end, and notes begin and end of each run.
SLOW = """
trap 'sleep 3; echo end >> /turns; exit 0' TERM
echo begin >> /turns; while :; do sleep 0.1; done
"""


@pytest.mark.parametrize("last", [True, False])
def test_a_hundred_changes_a_second_end_in_the_last_one(
    cluster: Cluster, make: Make, namespace: str, last: bool
) -> None:
    writer = {"command": ["sh", "-c", WRITER]}
    app = make(pod_manifest("frantic", namespace, writer, terminationGracePeriodSeconds=2))
    app.wait_ready()
    with PodWatch(cluster, namespace, "frantic") as pods:
        sent = toggle(cluster, namespace, "frantic", seconds=10, rate=100, least=100)
        assert sent > 100, "the changes came too slowly to show anything"
        app.set_running(last)
        if last:
            app.wait_ready()
            assert app.phase() == "Running"
        else:
            app.wait_phase("Stopped")
            assert app.processes() == []
            left = [pod["metadata"]["name"] for pod in cluster.objects("pods", namespace)]
            assert left == ["frantic-provider"]
            app.start()
        eventually(lambda: app.pod_uid() in pods.seen(), what="the watch has seen the last pod")
        seen, most = pods.seen(), pods.most_at_once()
    print(f"{sent} changes, {len(seen)} pods")
    assert most == 1
    assert_one_writer_at_a_time(app)
    app.assert_on_kept_root()


def assert_one_writer_at_a_time(app: Stoppable) -> None:
    """Runs of one writer, in order: a writer that comes twice wrote beside another."""
    runs = app.sh("sync; uniq /writers").split()
    assert runs
    assert len(runs) == len(set(runs))


def test_started_again_while_still_stopping(make: Make, namespace: str) -> None:
    slow = {"command": ["sh", "-c", SLOW]}
    app = make(pod_manifest("impatient", namespace, slow, terminationGracePeriodSeconds=30))
    app.wait_ready()
    app.wait_words("/turns", ["begin"])
    first = app.pod_uid()
    app.set_running(False)
    eventually(lambda: app.pod_uid() == "", what="the pod on its way out")
    app.set_running(True)
    eventually(lambda: app.pod_uid() not in ("", first), what="a new pod", explain=app.explain)
    app.wait_ready()
    app.wait_words("/turns", ["begin", "end", "begin"])


def test_stopped_while_its_image_cannot_be_pulled(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    app = make(manifest("nopull", namespace, image="localhost/test/nothing:1", command=HOLD))
    app.wait_condition("ImagePinned", "False", "ImagePullFailed")
    app.set_running(False)
    app.patch(template={"container": {"image": "busybox:1"}})
    app.wait_phase("Stopped")
    assert app.consumer() is None
    app.start()


def test_stopped_while_its_node_has_no_room(make: Make, namespace: str) -> None:
    app = make(manifest("big", namespace, command=HOLD, resources={"requests": {"cpu": "1000"}}))
    seen = app.wait_condition("ConsumerReady", "False", "Unschedulable")
    assert app.node in seen["message"]
    assert "cpu" in seen["message"]
    app.wait_phase("Pending", deadline=5)
    app.set_running(False)
    app.wait_phase("Stopped", deadline=25)
    assert app.consumer() is None
    app.patch(template={"container": {"resources": {"requests": {"cpu": "1m"}}}})
    app.start()
    app.assert_on_kept_root()


def test_stopped_in_the_middle_of_a_crash_loop(make: Make, namespace: str) -> None:
    crash = {"command": ["sh", "-c", "echo run >> /runs; [ -e /healed ] || exit 1; sleep 1000000"]}
    app = make(pod_manifest("looping", namespace, crash))
    app.wait_condition("ConsumerReady", "False", "CrashLoopBackOff")
    app.set_running(False)
    app.wait_phase("Stopped", deadline=60)
    assert app.consumer() is None
    assert app.processes() == []
    app.cluster.node_exec(app.node, f"touch {app.get()['status']['hostPath']}/healed")
    app.start()
    assert len(app.exec("cat", "/runs").split()) >= 2


def test_deleted_while_stopping(cluster: Cluster, make: Make, namespace: str) -> None:
    slow = {"command": ["sh", "-c", SLOW]}
    app = make(pod_manifest("leaving", namespace, slow, terminationGracePeriodSeconds=30))
    app.wait_ready()
    app.wait_words("/turns", ["begin"])
    node, uid = app.node, app.uid
    app.set_running(False)
    eventually(
        lambda: "deletionTimestamp" in (app.consumer() or {"metadata": {}})["metadata"],
        what="the pod on its way out, and still there",
    )
    app.delete()
    assert not any(leftovers(cluster, node, uid).values())
    assert app.instance() is None
    assert app.consumer() is None
