"""A small cluster on the fakes.

Scheduler, kubelets and garbage collector beside the real controller, in virtual time.

`settle` lets everything run until nothing moves any more; tests act in between and look at the end
state.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from controller import names, wake
from controller.announce import EventLog
from controller.model import AGENT_POD, EVENT, NODE, POD, SC, SCI, Body, Key, Kind
from controller.nodes import Nodes
from controller.reconcile import Reconciler
from controller.relist import Relist
from controller.store import Store, key_of
from tests.controller.kubelets import Kubelets
from tests.fakes.agent import FakeAgents
from tests.fakes.kube import Change, FakeKube

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMESPACE = "default"
SYSTEM = "stoppablecontainer-system"
APP = Key(NAMESPACE, "app")
PROVIDER = Key(NAMESPACE, "app-provider")
HORIZON = 120.0
MAX_TURNS = 2000


class World:
    """Everything of one test."""

    def __init__(self, *nodes: str) -> None:
        self.kube = FakeKube()
        self.kube.watchers.append(self._hear)
        self.store = Store()
        self.agents = FakeAgents(self.store)
        self.agents.now, self.agents.wall = lambda: self.time, self.wall
        self.kube.now = lambda: self.clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        self.time = 1000.0
        self.kubelets = Kubelets(self.kube, self.agents)
        self.dead_nodes, self.bad_images = self.kubelets.dead, self.kubelets.bad_images
        self.survivors: set[str] = set()
        self.leading = True
        self._boot()
        for node in nodes or ("n1", "n2"):
            self.add_node(node)

    def _boot(self) -> None:
        """A controller that knows nothing yet."""
        self.dirty: set[Key] = set()
        self.due: dict[Key, float] = {}
        self._echo: list[Change] = []
        self.store.on_object = self._on_object
        self.store.on_root = lambda _node, key: self.dirty.add(key)
        self.store.on_agent = self._on_agent
        clock = self.clock
        self.reconciler = Reconciler(
            self.kube,
            self.agents,
            self.store,
            EventLog(self.kube),
            may_act=lambda: self.leading,
            monotonic=lambda: self.time,
            clock=clock,
            wall=self.wall,
        )
        self.store.on_news = self.reconciler.news
        self.nodes = Nodes(
            self.kube,
            self.store,
            self.agents,
            may_act=lambda: self.leading,
            monotonic=lambda: self.time,
            clock=clock,
        )

    def clock(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.time)

    def wall(self) -> int:
        """The controller's wall clock, microseconds."""
        return (self.clock() - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)

    async def restart_controller(self) -> None:
        """Another replica takes over: no memory, the store from a full LIST, new streams."""
        self.store = Store()
        self.agents.store = self.store
        self.agents.pointed.clear()
        self._boot()
        relist = Relist(self.kube, self.store, SYSTEM, lambda: self.time)
        await relist.once()
        self.dirty |= {key_of(body) for kind in (NODE, SC) for body in self.store.all(kind)}

    # Watch.

    def _hear(self, change: Change) -> None:
        self._echo.append(change)

    def _pump(self) -> None:
        changes, self._echo = self._echo, []
        for kind, what, body in changes:
            for watched in self._watched_as(kind, body):
                if what == "DELETED":
                    self.store.drop(watched, body)
                else:
                    self.store.put(watched, body)

    def _watched_as(self, kind: Kind, body: Body) -> list[Kind]:
        labels = body["metadata"].get("labels") or {}
        if kind in {SC, SCI, NODE}:
            return [kind]
        if kind == POD and labels.get(names.AGENT_POD_LABEL) == names.AGENT_POD:
            return [AGENT_POD]
        return [POD] if kind == POD and names.MANAGED_BY_LABEL in labels else []

    def _on_object(self, kind: Kind, body: Body) -> None:
        self.dirty |= wake.concerned(self.store, kind, body)

    def _on_agent(self, node: str) -> None:
        self.dirty |= {Key("", node)} | wake.on_node(self.store, node)

    # Time.

    async def settle(self, seconds: float = HORIZON) -> None:
        """Until nothing moves, at most this long."""
        end = self.time + seconds
        for _ in range(MAX_TURNS):
            self._pump()
            if self.dirty:
                await self._work()
                continue
            if self.kubelets.turn() or self.kube.collect_garbage() or self._echo:
                continue
            later = [at for at in self.due.values() if at <= end]
            if not later:
                self.time = end
                return
            self.time = max(self.time, min(later))
            self.dirty |= {key for key, at in self.due.items() if at <= self.time}
        raise AssertionError("the world does not come to rest")

    async def _work(self) -> None:
        keys, self.dirty = sorted(self.dirty), set()
        for key in keys:
            self.due.pop(key, None)
            if key.namespace:
                again = await self.reconciler.reconcile(key)
            else:
                again = await self.nodes.reconcile(key)
            if again is not None:
                self.due[key] = self.time + max(again, 0.001)

    # What users, nodes and accidents do.

    def add_node(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        node: Body = {"metadata": {"name": name, "labels": dict(labels or {})}, "status": {}}
        node["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        self.kube.make(NODE, node)
        self.agents.add(name)
        self.kube.make(
            POD,
            {
                "metadata": {
                    "name": f"agent-{name}",
                    "namespace": SYSTEM,
                    "labels": {names.AGENT_POD_LABEL: names.AGENT_POD},
                },
                "spec": {"nodeName": name, "containers": [{"name": "agent"}]},
                "status": {"phase": "Running", "podIP": "10.0.0.1"},
            },
        )

    def create(self, *, running: bool = True, name: str = "app", **spec: Any) -> Body:
        container = {"image": "busybox:1", "command": ["sleep", "1000"]}
        wanted = {"running": running, "template": {"container": container}} | spec
        metadata = {"name": name, "namespace": NAMESPACE}
        return self.kube.make(SC, {"metadata": metadata, "spec": wanted})

    def run(self, running: bool, name: str = "app") -> None:
        self.kube.change(SC, Key(NAMESPACE, name), {"spec": {"running": running}})

    def node_down(self, name: str) -> None:
        """Power off."""
        self.dead_nodes.add(name)
        self.agents.crash(name)
        self._node_ready(name, "False")

    def node_up(self, name: str) -> None:
        """The node is back: kubelet starts its pods again from nothing."""
        self.dead_nodes.discard(name)
        for pod in self.kube.all(POD):
            if pod["spec"].get("nodeName") == name and pod.get("status", {}).get(
                "containerStatuses"
            ):
                self.kube.change(POD, key_of(pod), {"status": {"containerStatuses": None}})
        self.agents.back(name)
        self._node_ready(name, "True")

    def _node_ready(self, name: str, value: str) -> None:
        conditions = [{"type": "Ready", "status": value, "message": "Kubelet says so"}]
        self.kube.change(NODE, Key("", name), {"status": {"conditions": conditions}})

    def force_delete(self, key: Key, *, survive: bool) -> None:
        """The API forgets the pod; its processes may live on."""
        pod = self.kube.objects[POD, key]
        node, uid = pod["spec"].get("nodeName"), pod["metadata"]["uid"]
        if survive:
            self.survivors.add(uid)
        elif node:
            self.agents.stop(node, uid)
        self.kube.forget(POD, key)

    def end_survivors(self) -> None:
        """Kubelet has killed what was left."""
        for node in self.agents.agents:
            for uid in self.survivors:
                self.agents.stop(node, uid)
        self.survivors.clear()

    # Looking.

    def get(self, kind: Kind, key: Key) -> Body | None:
        return self.kube.objects.get((kind, key))

    def status(self, key: Key = APP) -> Body:
        found: Body = self.kube.objects[SC, key].get("status") or {}
        return found

    def condition(self, kind: str, key: Key = APP) -> tuple[str, str]:
        for item in self.status(key).get("conditions", []):
            if item["type"] == kind:
                return item["status"], item["reason"]
        return "", ""

    def message(self, kind: str, key: Key = APP) -> str:
        found = (item for item in self.status(key)["conditions"] if item["type"] == kind)
        return str(next(found)["message"])

    def events(self) -> list[str]:
        return [str(body["reason"]) for body in self.kube.all(EVENT)]

    def births(self) -> list[int]:
        """Which roots exist: a number that a newly made root never repeats."""
        return sorted(
            birth
            for agent in self.agents.agents.values()
            for uid, birth in agent.births.items()
            if uid in agent.roots
        )
