"""The agent away at each NRI moment: the command never runs on a wrong root, and recovers.

A second NRI plugin with a lower index, run by the test on the node, is called by containerd right
before the agent: what it does to the agent happens exactly at that moment, and the product needs no
hook for it.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import SYSTEM, condition, eventually
from tests.e2e.fault_plugin import FaultPlugin
from tests.e2e.stoppable import manifest

if TYPE_CHECKING:
    from tests.e2e.cluster import Cluster
    from tests.e2e.conftest import Make
    from tests.e2e.stoppable import Stoppable

pytestmark = pytest.mark.alone

# Each start appends to a file in `/` and to the log: a start on any other root has its log line
# but no line in the kept file.
WITNESS = [
    "sh",
    "-c",
    """me=$(cat /proc/sys/kernel/random/uuid); echo $me >> /starts
    echo start $me; exec sleep 1000000""",
]
# Below kubelet's longest back-off, for which a container that failed at its guard must not wait.
RECOVERY = 30  # seconds
GUARD = "/.stoppablecontainer/required"


def logged(app: Stoppable) -> list[str]:
    """The starts that this pod's log tells of."""
    return [line.split()[1] for line in app.logs().splitlines() if line.startswith("start ")]


def recover(app: Stoppable, cluster: Cluster, node: str) -> None:
    """From the agent's return: Ready within RECOVERY seconds, on the kept root."""
    eventually(lambda: cluster.agent_ready(node), what="agent back", deadline=120)
    returned = time.monotonic()
    app.wait_ready(deadline=RECOVERY)
    print(f"recovered {time.monotonic() - returned:.1f} s after the agent's return")
    app.assert_on_kept_root()
    eventually(
        lambda: logged(app)[-1:] == app.words("/starts")[-1:] != [],
        what="the start in the log is the last one on the kept root",
        explain=app.explain,
    )
    assert set(logged(app)) <= set(app.words("/starts")), "the command ran on another root"
    eventually(cluster.agents_settled, what="the same agent on every node", deadline=120)


@pytest.mark.parametrize("moment", ["CreateContainer", "PostCreateContainer", "StartContainer"])
@pytest.mark.parametrize("fault", ["kill", "stall"])
def test_agent_fails_at_an_nri_moment(
    cluster: Cluster, make: Make, namespace: str, moment: str, fault: str
) -> None:
    app = make(manifest("witness", namespace, command=WITNESS))
    app.wait_ready()
    app.stop()
    node = app.node
    with FaultPlugin(
        cluster, node, moment=moment, fault=fault, pod=app.name, namespace=namespace
    ) as plugin:
        app.set_running(True)
        plugin.wait_until_done()
        if fault == "kill":
            # A new pod instead of kubelet's back-off, which grows with every kill of this test.
            delete_agent(cluster, node)
        recover(app, cluster, node)
    app.stop()
    app.start()
    app.assert_on_kept_root()


def test_agent_absent_when_a_consumer_restarts_in_place(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    app = make(manifest("alone", namespace, command=WITNESS))
    app.wait_ready()
    node = app.node
    with AbsentAgent(cluster, node):
        cluster.node_exec(node, f"kill -9 {app.first_process()}")
        eventually(
            lambda: GUARD in json.dumps((app.consumer() or {}).get("status", {})),
            what="the guard's refusal in the pod's status",
            explain=app.explain,
        )
        eventually(
            lambda: condition(app.get(), "Ready")["status"] == "False",
            what="the object says that it is not Ready",
            deadline=30,
            explain=app.explain,
        )
    recover(app, cluster, node)


def test_agent_absent_when_asked_to_start(cluster: Cluster, make: Make, namespace: str) -> None:
    app = make(manifest("later", namespace, command=WITNESS))
    app.wait_ready()
    app.stop()
    node = app.node
    with AbsentAgent(cluster, node):
        app.set_running(True)
        seen = app.wait_condition("RootReady", "False", "AgentUnavailable")
        assert node in seen["message"]
        app.wait_phase("Pending")
    recover(app, cluster, node)


@pytest.mark.parametrize("running", [True, False])
def test_agent_restart_adopts_the_root(
    cluster: Cluster, make: Make, namespace: str, running: bool
) -> None:
    app = make(manifest("adopt", namespace, command=WITNESS))
    app.wait_ready()
    digest, node = app.write_marker(), app.node
    first = app.consumer()
    if not running:
        app.stop()
    delete_agent(cluster, node)
    eventually(lambda: cluster.agent_ready(node), what="agent back", deadline=120)
    mounts = cluster.node_exec(node, f"grep -c stoppablecontainer:{app.uid} /proc/1/mountinfo")
    assert mounts.strip() == "1"
    if running:
        now = app.consumer()
        assert first
        assert now
        assert now["metadata"]["uid"] == first["metadata"]["uid"]
        app.wait_ready()
        app.stop()
    app.start()
    app.assert_marker(digest)


def delete_agent(cluster: Cluster, node: str) -> None:
    """Replace the agent's pod on a node."""
    pod = cluster.agent_pod(node)
    assert pod
    cluster.kubectl("-n", SYSTEM, "delete", "pod", pod["metadata"]["name"], "--timeout=60s")


class AbsentAgent:
    """No agent pod on this node while the block runs."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self.cluster = cluster
        self.node = node

    def _affinity(self, value: object) -> None:
        patch = {"spec": {"template": {"spec": {"affinity": value}}}}
        self.cluster.kubectl(
            "-n", SYSTEM, "patch", "ds", "stoppablecontainer-agent", "--type=merge",
            "-p", json.dumps(patch),
        )  # fmt: skip

    def __enter__(self) -> None:
        away = {"key": "metadata.name", "operator": "NotIn", "values": [self.node]}
        term = {"nodeSelectorTerms": [{"matchFields": [away]}]}
        self._affinity({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}})
        # Settled: the one on its way out has ended too, and no rollout before this makes a new one.
        eventually(
            lambda: self.cluster.agents_settled() and not self.cluster.agent_pod(self.node),
            what="agent gone",
        )

    def __exit__(self, *_: object) -> None:
        self._affinity(None)


def test_an_agent_restart_changes_nothing_of_warm_containers(
    cluster: Cluster, make: Make, namespace: str
) -> None:
    """One runs on, one stays stopped and one frozen; afterwards each can be stopped and started."""
    command = ["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & echo run >> /runs; wait"]
    apps: dict[str, Stoppable] = {}
    for name, mode in (("running", "Warm"), ("stopped", "Warm"), ("frozen", "Freeze")):
        wanted = manifest(name, namespace, command=command)
        wanted["spec"]["stopMode"] = mode
        if apps:
            where = {"kubernetes.io/hostname": apps["running"].node}
            wanted["spec"]["template"]["nodeSelector"] = where
        apps[name] = make(wanted)
        apps[name].wait_ready()
        apps[name].wait_words("/runs", ["run"])
    apps["stopped"].rest()
    apps["frozen"].rest()
    before = {name: (app.pod_uid(), app.processes(), app.runs()) for name, app in apps.items()}
    node = apps["running"].node
    delete_agent(cluster, node)
    eventually(lambda: cluster.agent_ready(node), what="agent back", deadline=120)
    for name, app in apps.items():
        app.wait_phase("Running" if name == "running" else "Stopped", deadline=30)
        assert (app.pod_uid(), app.processes(), app.runs()) == before[name], app.explain()
    apps["running"].rest()
    for name, app in apps.items():
        app.start()
        assert app.pod_uid() == before[name][0]
        app.wait_words("/runs", ["run"] * (1 if name == "frozen" else 2))
