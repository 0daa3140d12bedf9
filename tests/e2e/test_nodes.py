"""A node that loses power: everything comes back by itself, with its data."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import ROOT, condition, eventually
from tests.e2e.stoppable import HOLD, manifest

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster
    from tests.e2e.conftest import Make

pytestmark = pytest.mark.alone


def make_target(cluster: Cluster, target: str, node: str) -> None:
    number = cluster.nodes().index(node) + 1
    subprocess.run(["make", "-s", target, f"N={number}"], cwd=ROOT, check=True, timeout=180)


def test_a_crashed_node_brings_its_containers_back(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    node = cluster.nodes()[-1]
    pinned = {"nodeSelector": {"kubernetes.io/hostname": node}}
    app = make(manifest("reboot", namespace, template=pinned, command=HOLD))
    idle = make(manifest("reboot-idle", namespace, template=pinned, command=HOLD))
    kept_pods = []
    for mode in ("Warm", "Freeze"):
        wanted = manifest(f"reboot-{mode.lower()}", namespace, template=pinned, command=HOLD)
        wanted["spec"]["stopMode"] = mode
        kept_pods.append(make(wanted))
    app.wait_ready()
    idle.wait_ready()
    kept = idle.write_marker()
    idle.stop()
    marks = []
    for one in kept_pods:
        one.wait_ready()
        marks.append(one.write_marker())
        one.rest()
    digest = app.write_marker()
    app.exec("sync")

    make_target(cluster, "node-crash", node)
    eventually(
        lambda: condition(cluster.get("node", node) or {}, "Ready").get("status") != "True",
        what="node lost",
        deadline=180,
    )
    eventually(
        lambda: condition(app.get(), "Ready").get("status") == "False",
        what="the object says that it is not Ready",
        explain=app.explain,
    )
    make_target(cluster, "node-up", node)
    eventually(lambda: cluster.agent_ready(node), what="agent back", deadline=180)

    app.wait_ready(deadline=180)
    app.assert_on_kept_root()
    app.assert_marker(digest)
    idle.wait_phase("Stopped", deadline=180)
    idle.start()
    idle.assert_marker(kept)
    for one, mark in zip(kept_pods, marks, strict=True):
        one.wait_phase("Stopped", deadline=180)
        one.start()
        one.assert_on_kept_root()
        one.assert_marker(mark)
