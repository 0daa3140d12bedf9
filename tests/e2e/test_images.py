"""Images of any shape: one layer or many, a VOLUME, one static binary and nothing else."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.e2e.stoppable import HOLD, Stoppable, manifest

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster
    from tests.e2e.conftest import Make

STATIC = "localhost/test/static:1"
VOLUME = "localhost/test/volume:1"
MOUNTED = {"name": "mine", "mountPath": "/data"}
APP = "/app"


def lower_layers(app: Stoppable) -> int:
    """How many layers the kernel has below the kept root."""
    line = app.cluster.node_exec(app.node, f"grep stoppablecontainer:{app.uid} /proc/1/mountinfo")
    options = re.findall(r"lowerdir\+?=([^,]+)", line)
    return sum(len(option.split(":")) for option in options)


@pytest.mark.parametrize(("image", "layers"), [("busybox:1", 1), ("localhost/test/layers60:1", 61)])
def test_layers(make: Make, namespace: str, image: str, layers: int) -> None:
    app = make(manifest("layers", namespace, image=image, command=HOLD))
    app.wait_ready()
    assert lower_layers(app) == layers
    digest = app.write_marker()
    # One file of each layer but the base, and one that every layer has written anew.
    numbers = [f"{number:02}" for number in range(1, layers)]
    show = "cat /layers/* /newest 2>/dev/null; true"
    assert app.sh(show).split() == [*numbers, *numbers[-1:]]
    app.sh("mkdir -p /layers && rm -f /layers/01 && echo mine >> /layers/02 && echo mine > /newest")
    changed = app.sh(show)
    app.stop()
    app.start()
    app.assert_marker(digest)
    assert app.sh(show) == changed
    assert changed.split()[-1] == "mine"
    assert len(app.exec("ls", "/layers").split()) == max(1, layers - 2)
    app.assert_on_kept_root()


def test_image_volume_is_kept(make: Make, namespace: str) -> None:
    app = make(manifest("volume", namespace, image=VOLUME, command=HOLD))
    app.wait_ready()
    assert "seed" in app.exec("ls", "/data")
    app.sh("echo rows > /data/table")
    app.stop()
    app.start()
    assert app.exec("cat", "/data/table").strip() == "rows"
    assert len(set(app.sh("stat -c %d / /data").split())) == 1
    app.assert_on_kept_root()


def test_a_volume_of_the_template_wins_over_the_images(make: Make, namespace: str) -> None:
    template = {"volumes": [{"name": "mine", "emptyDir": {}}]}
    wanted = manifest(
        "both", namespace, image=VOLUME, command=HOLD, template=template, volumeMounts=[MOUNTED]
    )
    app = make(wanted)
    app.wait_ready()
    assert app.exec("ls", "-A", "/data") == ""
    assert len(set(app.sh("stat -c %d / /data").split())) == 2


def look(cluster: Cluster, namespace: str) -> list[str]:
    """What the pod `static` has where its image has nothing."""
    pod = cluster.get("pod", "static", namespace)
    assert pod
    places = ("/", "/dev", "/etc", "/sys", "/work", "/proc/self/comm")
    files = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
    asked = ("exec", "static", "--", APP, "look", *places, *files)
    said = cluster.kubectl("-n", namespace, *asked)
    lines = said.replace(pod["status"]["podIP"], "ADDRESS").splitlines()
    # Kubelet takes the options of resolv.conf from a map.
    return sorted(" ".join(sorted(x.split())) if " options " in x else x for x in lines)


def test_an_image_without_etc_proc_and_dev_has_what_a_bare_pod_has(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    app = make(manifest("static", namespace, image=STATIC))
    app.wait_ready()
    for _ in range(2):
        app.stop()
        app.start()
    ours = look(cluster, namespace)
    cluster.kubectl("-n", namespace, "delete", "stc", "static", "--timeout=60s")
    container = {"name": "main", "image": STATIC}
    bare = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "static", "namespace": namespace},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
    }
    cluster.apply(bare)
    ready = ("wait", "--for=condition=Ready", "pod/static", "--timeout=110s")
    cluster.kubectl("-n", namespace, *ready)
    theirs = look(cluster, namespace)
    ours.remove("/dev .stoppablecontainer")  # the gate's place; /dev is not kept
    assert ours == theirs
    assert "/etc/hosts ADDRESS\tstatic" in ours
    assert "/proc/self/comm app" in ours
    assert {"/ dev", "/ etc", "/ proc", "/ sys", "/dev null"} <= set(ours)


def test_a_scratch_image_keeps_what_its_binary_wrote(make: Make, namespace: str) -> None:
    wanted = manifest("static", namespace, image=STATIC, securityContext={"runAsUser": 0})
    app = make(wanted)
    app.wait_ready()
    app.exec(APP, "copy", "/proc/self/cmdline", "/work/before")
    app.exec(APP, "copy", "-", "/file", stdin=json.dumps(wanted))
    app.exec(APP, "copy", APP, "/work/second")
    app.stop()
    app.cluster.node_exec(app.node, "echo 3 > /proc/sys/vm/drop_caches")
    app.start()
    assert app.exec("/work/second", "copy", "/file", "-") == json.dumps(wanted)
    kept = app.exec(APP, "copy", "/work/before", "-")
    assert kept.split("\0") == [APP, "copy", "/proc/self/cmdline", "/work/before", ""]
