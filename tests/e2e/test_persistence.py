"""What is written stays: through stops, crashes, and deletions of all but the object itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.cluster import ROOT, STATE_DIR, eventually
from tests.e2e.stoppable import HOLD, manifest

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster
    from tests.e2e.conftest import Make
    from tests.e2e.stoppable import Stoppable

CTR = ROOT / "build" / "bin" / "ctr"


def test_twenty_cycles_keep_five_megabytes(make: Make, namespace: str) -> None:
    app = make(manifest("cycles", namespace, command=HOLD))
    app.wait_ready()
    digest = app.write_marker(5 << 20)
    for _ in range(20):
        app.stop()
        app.start()
        app.assert_marker(digest)
    app.assert_on_kept_root()


def test_a_deleted_instance_comes_back_on_its_node_with_its_data(
    make: Make, namespace: str
) -> None:
    app = make(manifest("reborn", namespace, command=HOLD))
    app.wait_ready()
    digest, node = app.write_marker(), app.node
    for running in (True, False):
        if not running:
            app.stop()
        _delete_instance(app)
        app.wait_phase("Running" if running else "Stopped")
    app.start()
    assert app.node == node
    app.assert_marker(digest)
    app.assert_on_kept_root()


def _delete_instance(app: Stoppable) -> None:
    before = app.instance()
    assert before
    app.cluster.kubectl("-n", app.namespace, "delete", "stci", app.name, "--timeout=60s")

    def reborn() -> bool:
        now = app.instance()
        return bool(now and now["metadata"]["uid"] != before["metadata"]["uid"])

    eventually(reborn, what="a new instance", explain=app.explain)


def leftovers(cluster: Cluster, node: str, uid: str) -> dict[str, str]:
    """Everything on a node that names this root, by where it was found."""
    places = {
        "folders": f"find {STATE_DIR} -name '*{uid}*' 2>/dev/null",
        "mounts": f"grep {uid} /proc/1/mountinfo",
        "snapshots": f"{CTR} -n k8s.io snapshots ls | grep {uid}",
        "leases": f"{CTR} -n k8s.io leases ls | grep {uid}",
    }
    return {
        place: cluster.node_exec(node, f"{command} || true") for place, command in places.items()
    }


def test_a_deleted_object_leaves_nothing_on_the_node(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    app = make(manifest("gone", namespace, command=HOLD))
    app.wait_ready()
    app.write_marker()
    node, uid = app.node, app.uid
    assert all(leftovers(cluster, node, uid).values())
    cluster.kubectl("-n", namespace, "delete", "stc", "gone", "--timeout=60s")
    assert not any(leftovers(cluster, node, uid).values())
    assert app.instance() is None
    eventually(
        lambda: not cluster.objects("pods", namespace),
        what="no pod left",
        explain=lambda: cluster.kubectl("-n", namespace, "get", "pods"),
    )


def test_a_name_used_again_has_a_new_root(make: Make, namespace: str) -> None:
    app = make(manifest("again", namespace, command=HOLD))
    app.wait_ready()
    app.write_marker()
    app.cluster.kubectl("-n", namespace, "delete", "stc", "again", "--timeout=60s")
    app = make(manifest("again", namespace, command=HOLD))
    app.wait_ready()
    assert "marker" not in app.exec("ls", "/")


def test_a_deleted_provider_comes_back_and_the_consumer_never_notices(
    make: Make, namespace: str
) -> None:
    app = make(manifest("fed", namespace, command=HOLD))
    app.wait_ready()
    digest = app.write_marker()
    consumer = app.consumer()
    _delete_provider(app)
    after = app.consumer()
    assert consumer
    assert after
    assert after["metadata"]["uid"] == consumer["metadata"]["uid"]
    app.assert_marker(digest)

    app.stop()
    _delete_provider(app)
    app.start()
    app.assert_marker(digest)
    app.assert_on_kept_root()


def _delete_provider(app: Stoppable) -> None:
    before = app.provider()
    assert before
    app.cluster.kubectl("-n", app.namespace, "delete", "pod", f"{app.name}-provider")

    def replaced() -> bool:
        now = app.provider()
        running = now and now["status"].get("phase") == "Running"
        return bool(now and running and now["metadata"]["uid"] != before["metadata"]["uid"])

    eventually(replaced, what="a new provider running", explain=app.explain)


def test_a_force_deleted_consumer_never_shares_the_root(make: Make, namespace: str) -> None:
    """The API forgets the pod at once while its processes live on: the next one must wait."""
    writer = (
        "trap '' TERM; me=$(cat /proc/sys/kernel/random/uuid);"
        " while :; do echo $me >> /writers; usleep 10000; done"
    )
    wanted = manifest("fence", namespace)
    container = {"name": "main", "image": "busybox:1", "command": ["sh", "-c", writer]}
    wanted["spec"]["template"] = {
        "spec": {"terminationGracePeriodSeconds": 3, "containers": [container]}
    }
    app = make(wanted)
    app.wait_ready()
    eventually(lambda: app.words("/writers"), what="its first line", explain=app.explain)
    first = app.consumer()
    assert first
    app.cluster.kubectl("-n", namespace, "delete", "pod", "fence", "--grace-period=0", "--force")
    eventually(
        lambda: (app.consumer() or first)["metadata"]["uid"] != first["metadata"]["uid"],
        what="a new consumer",
        explain=app.explain,
    )
    app.wait_ready()
    app.assert_on_kept_root()

    def runs() -> list[str]:
        return app.sh("sync; uniq /writers").split()

    eventually(lambda: len(set(runs())) == 2, what="the second writer's lines", explain=app.explain)
    # Runs of one writer, in order: a writer that comes twice wrote beside another.
    assert len(runs()) == 2
