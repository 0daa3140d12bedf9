"""Volumes on a kept root: they live by their own rules, the root keeps what lies beneath them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.stoppable import HOLD, pod_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.cluster import Cluster, Object
    from tests.e2e.conftest import Make
    from tests.e2e.stoppable import Stoppable


def change(app: Stoppable, *operations: Object) -> None:
    """Change the PodSpec of the template, as JSON patch operations below it."""
    for operation in operations:
        operation["path"] = f"/spec/template/spec{operation['path']}"
    patch = json.dumps(operations)
    app.cluster.kubectl(
        "-n", app.namespace, "patch", "stc", app.name, "--type=json", "-p", patch
    )  # fmt: skip


def restart(app: Stoppable) -> None:
    app.stop()
    app.start()


def test_config_maps_and_secrets_follow_their_objects(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    def write(word: str) -> None:
        about = {"apiVersion": "v1", "metadata": {"name": "word", "namespace": namespace}}
        cluster.apply(
            {**about, "kind": "ConfigMap", "data": {"word": word}},
            {**about, "kind": "Secret", "stringData": {"word": word}},
        )

    write("first")
    volumes: list[Object] = [
        {"name": "map", "configMap": {"name": "word"}},
        {"name": "secret", "secret": {"secretName": "word"}},
    ]
    mounts = [
        {"name": "map", "mountPath": "/map"},
        {"name": "secret", "mountPath": "/secret"},
        {"name": "map", "mountPath": "/etc/word", "subPath": "word"},
    ]
    app = make(
        pod_manifest(
            "follows", namespace, {"command": HOLD, "volumeMounts": mounts}, volumes=volumes
        )
    )
    app.wait_ready()
    read = "cat /map/word; echo; cat /secret/word; echo; cat /etc/word"
    assert app.sh(read).split() == ["first", "first", "first"]

    write("second")
    # Kubelet looks once a minute, or when the pod changes.
    cluster.kubectl("-n", namespace, "annotate", "pod", "follows", "look=again")
    eventually(
        lambda: app.sh(read).split()[:2] == ["second", "second"],
        what="the volumes show the new word",
        deadline=240,
        explain=lambda: app.sh(read),
    )
    assert app.sh(read).split()[2] == "first"  # a subPath stays what it was, as in a pod
    restart(app)
    assert app.sh(read).split() == ["second", "second", "second"]


def test_the_service_account_token_is_bound_to_the_pod_of_this_start(
    make: Make, namespace: str
) -> None:
    token = {"path": "token", "audience": "somebody", "expirationSeconds": 600}
    volume = {"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}}
    mount = {"name": "token", "mountPath": "/token"}
    app = make(
        pod_manifest(
            "bound", namespace, {"command": HOLD, "volumeMounts": [mount]}, volumes=[volume]
        )
    )
    app.wait_ready()
    seen = set()
    for _ in range(2):
        payload = app.exec("cat", "/token/token").split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        pod = app.consumer()
        assert pod
        bound = claims["kubernetes.io"]["pod"]
        assert bound == {"name": "bound", "uid": pod["metadata"]["uid"]}
        assert claims["aud"] == ["somebody"]
        assert claims["exp"] - claims["iat"] == 600
        seen.add(bound["uid"])
        restart(app)
    assert len(seen) == 2


def test_an_empty_dir_lives_as_long_as_the_pod_and_the_root_longer(
    make: Make, namespace: str
) -> None:
    """With fsGroup, which kubelet applies at each start, and a subPath."""
    mounts = [
        {"name": "scratch", "mountPath": "/scratch"},
        {"name": "scratch", "mountPath": "/part", "subPath": "part"},
    ]
    # It ends by itself when /part/end is there, so that it is started again in place.
    until = "while [ ! -e /part/end ]; do sleep 0.2; done; rm /part/end"
    wanted = pod_manifest(
        "scratch",
        namespace,
        {"command": ["sh", "-c", until], "volumeMounts": mounts},
        securityContext={"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 4000},
        volumes=[{"name": "scratch", "emptyDir": {}}],
    )
    app = make(wanted)
    app.wait_ready()
    assert app.sh("stat -c '%A %g' /scratch").split() == ["drwxrwsrwx", "4000"]
    assert app.sh("id -G").split() == ["1000", "4000"]
    app.sh("echo mine > /part/file; echo mine > /tmp/file; touch /part/end")

    def restarted() -> bool:
        statuses = (app.consumer() or {}).get("status", {}).get("containerStatuses", [{}])
        return bool(statuses[0].get("restartCount") == 1 and statuses[0].get("ready"))

    eventually(restarted, what="a restart in place", explain=app.explain)
    assert app.sh("cat /scratch/part/file /tmp/file").split() == ["mine", "mine"]
    assert app.sh("stat -c %g /scratch/part/file").strip() == "4000"
    restart(app)
    assert app.sh("ls /part; cat /tmp/file").split() == ["mine"]
    assert app.sh("stat -c '%A %g' /scratch").split() == ["drwxrwsrwx", "4000"]


def test_a_volume_hides_what_the_root_keeps_beneath_it(make: Make, namespace: str) -> None:
    app = make(pod_manifest("hides", namespace, {"command": HOLD}))
    app.wait_ready()
    app.sh("mkdir -p /srv; echo beneath > /srv/file")
    volume = {"name": "over", "emptyDir": {}}
    change(
        app,
        {"op": "add", "path": "/volumes", "value": [volume]},
        {
            "op": "add",
            "path": "/containers/0/volumeMounts",
            "value": [{"name": "over", "mountPath": "/srv"}],
        },
    )
    restart(app)
    assert app.sh("ls /srv; echo over > /srv/file; cat /srv/file").split() == ["over"]
    change(
        app,
        {"op": "remove", "path": "/containers/0/volumeMounts"},
        {"op": "remove", "path": "/volumes"},
    )
    restart(app)
    assert app.exec("cat", "/srv/file").strip() == "beneath"


def test_a_read_only_root_keeps_what_was_there_and_refuses_writes(
    make: Make, namespace: str
) -> None:
    scratch: dict[str, Any] = {"name": "scratch", "mountPath": "/tmp"}
    app = make(
        pod_manifest(
            "fixed",
            namespace,
            {"command": HOLD, "volumeMounts": [scratch], "securityContext": {}},
            volumes=[{"name": "scratch", "emptyDir": {}}],
        )
    )
    app.wait_ready()
    digest = app.write_marker()
    path = "/containers/0/securityContext/readOnlyRootFilesystem"
    change(app, {"op": "add", "path": path, "value": True})
    restart(app)
    assert app.exec("sha256sum", "/marker").split()[0] == digest
    assert "Read-only file system" in app.sh("touch /new 2>&1; true")
    assert "Read-only file system" in app.sh("rm /marker 2>&1; true")
    app.sh("touch /tmp/new")
    app.assert_on_kept_root()
    change(app, {"op": "remove", "path": path})
    restart(app)
    app.assert_marker(digest)


@pytest.fixture
def node_of_claim(cluster: Cluster, namespace: str) -> Iterator[str]:
    """A claim of the name `disk` for a folder on this node's disk."""
    node, folder = cluster.nodes()[-1], f"/var/tmp/{namespace}"
    cluster.node_exec(node, f"mkdir -p {folder}")
    cluster.apply(*_disk(node, "disk", namespace, folder))
    yield node
    cluster.kubectl("delete", "pv", f"{namespace}-disk", "--wait=false")
    cluster.node_exec(node, f"rm -r {folder}")


def _disk(node: str, claim: str, namespace: str, folder: str) -> tuple[Object, Object]:
    common = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "",
    }
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-{claim}"},
        "spec": {
            **common,
            "capacity": {"storage": "1Mi"},
            "local": {"path": folder},
            "claimRef": {"namespace": namespace, "name": claim},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }
    asked = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim, "namespace": namespace},
        "spec": {
            **common,
            "volumeName": f"{namespace}-{claim}",
            "resources": {"requests": {"storage": "1Mi"}},
        },
    }
    return volume, asked


def test_a_claim_for_a_nodes_disk_decides_where_the_root_goes(
    make: Make, namespace: str, node_of_claim: str
) -> None:
    """As the scheduler sends a pod to its volume: else root and volume can never meet.

    Three, because one could be there by chance.
    """
    volume = {"name": "disk", "persistentVolumeClaim": {"claimName": "disk"}}
    mount = {"name": "disk", "mountPath": "/disk"}
    container = {"command": HOLD, "volumeMounts": [mount]}
    apps = [
        make(pod_manifest(name, namespace, container, volumes=[volume]))
        for name in ("one", "two", "three")
    ]
    for app in apps:
        app.wait_ready()
        assert app.node == node_of_claim
    app = apps[0]
    app.sh("echo kept > /disk/file; echo kept > /file")
    restart(app)
    assert app.sh("cat /disk/file /file").split() == ["kept", "kept"]
