"""Node agents in memory: roots with data, admissions, holders, sync, a watch stream that can break.

Implements `controller.doors.AgentsDoor`; the fake kubelet asks `start` and `stop`. Two holders of
one root fail the test.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from controller.errors import Absent, Busy, NodeFailed, NotYet
from controller.model import AgentStatus, Process, Role, Root, Timeline

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from controller.doors import Admission, RootOrder, StopOrder
    from controller.store import Store

READY = AgentStatus(ready=True, reason="Ready", message="")
_births = itertools.count(1)


@dataclass
class FakeAgent:
    """One node: what is on its disk, and what lives in its memory."""

    node: str
    up: bool = True
    status: AgentStatus = READY
    roots: dict[str, Root] = field(default_factory=dict)
    births: dict[str, int] = field(default_factory=dict)
    admissions: dict[str, Admission] = field(default_factory=dict)
    processes: dict[str, str] = field(default_factory=dict)
    refuse: dict[str, Exception] = field(default_factory=dict)


class FakeAgents:
    """All agents, and the controller's lines to them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.agents: dict[str, FakeAgent] = {}
        self.pointed: dict[str, str] = {}
        self.calls: list[tuple[str, str]] = []
        self.hooks: list[tuple[str, ...]] = []
        self.stubborn: set[str] = set()
        self.before: Callable[[str], Awaitable[None]] | None = None
        self.now: Callable[[], float] = lambda: 0.0
        # The nodes' own clocks, microseconds; they need not be the controller's.
        self.wall: Callable[[], int] = lambda: 0

    # The door.

    def point(self, node: str, address: str) -> None:
        if self.pointed.get(node, "") == address:
            return
        self.pointed[node] = address
        if not address:
            self.store.agent_silent(node, self.now())
            return
        self.store.expect_agent(node, self.now())
        self.connect(node)

    async def ensure_root(self, node: str, order: RootOrder) -> Root:
        agent = await self._enter(node, "ensure_root")
        root = agent.roots.get(order.uid)
        if root is None:
            if not order.image_id:
                raise NodeFailed("image_id is unknown to the runtime")
            root = Root(
                uid=order.uid,
                namespace=order.namespace,
                name=order.name,
                image=order.image,
                image_digest="sha256:" + order.image_id[-8:],
                synced=True,
                host_path=f"/var/lib/stoppablecontainer/instances/{order.uid}/rootfs",
            )
            agent.births[order.uid] = next(_births)
        return self._keep(agent, replace(root, mounted=True))

    async def sync(self, node: str, uid: str) -> Root:
        agent = await self._enter(node, "sync")
        root = self._root(agent, uid)
        if root.held and root.process not in {Process.STOPPED, Process.FROZEN}:
            raise Busy("a container holds the root")
        times = replace(root.timeline, synced=self.wall())
        return self._keep(agent, replace(root, synced=True, timeline=times))

    async def delete_root(self, node: str, uid: str) -> None:
        agent = await self._enter(node, "delete_root")
        root = agent.roots.get(uid)
        if root and root.held:
            raise Busy("a container holds the root")
        agent.roots.pop(uid, None)
        agent.admissions = {
            pod: one for pod, one in agent.admissions.items() if one.root_uid != uid
        }
        if self._speaks(agent):
            self.store.drop_root(node, uid)

    async def admit(self, node: str, admission: Admission) -> None:
        agent = await self._enter(node, "admit")
        root = agent.roots.get(admission.root_uid)
        if admission.role is Role.CONSUMER:
            if root is None:
                raise Absent("no such root")
            if root.held and root.holder != admission.pod_uid:
                raise Busy("another pod's container holds the root")
        agent.admissions = {
            pod: one
            for pod, one in agent.admissions.items()
            if (one.root_uid, one.role) != (admission.root_uid, admission.role)
        }
        agent.admissions[admission.pod_uid] = admission
        if root and admission.role is Role.CONSUMER:
            self._keep(agent, replace(root, admitted_consumer=admission.pod_uid))
        elif root:
            self._keep(agent, replace(root, admitted_provider=admission.pod_uid))

    async def start_process(
        self, node: str, uid: str, pod_uid: str, post_start: tuple[str, ...]
    ) -> Root:
        agent = await self._enter(node, "start_process")
        root = self._supervised(agent, uid, pod_uid)
        self.hooks += [post_start] if post_start and root.process is Process.STOPPED else []
        times = replace(root.timeline, running=self.wall())
        new = replace(root, process=Process.RUNNING, synced=False, timeline=times)
        return self._keep(agent, new)

    async def stop_process(self, node: str, order: StopOrder) -> Root:
        agent = await self._enter(node, "stop_process")
        root = self._supervised(agent, order.uid, order.pod_uid)
        if root.process in {Process.STOPPED, Process.FROZEN, Process.STOPPING}:
            return self._keep(agent, root)
        self.hooks += [order.pre_stop] if order.pre_stop else []
        if order.pod_uid in self.stubborn:
            return self._keep(agent, replace(root, process=Process.STOPPING))
        process = Process.FROZEN if order.freeze else Process.STOPPED
        return self._keep(agent, replace(self._stopped(root), process=process))

    # What kubelet and runtime do on the node.

    def start(self, node: str, pod_uid: str) -> str:
        """A container starts: empty when it lives on its root, else why not."""
        agent = self.agents[node]
        guard = 'exec: "/.stoppablecontainer/required": no such file or directory'
        admission = agent.admissions.get(pod_uid)
        if not agent.up or not agent.status.ready or admission is None:
            return guard
        if admission.role is Role.PROVIDER:
            return ""
        root = agent.roots.get(admission.root_uid)
        if root is None or not root.mounted:
            return "stoppablecontainer: the root is not mounted"
        if agent.processes.get(root.uid, pod_uid) != pod_uid:
            return "stoppablecontainer: the root is in use"
        agent.processes[root.uid] = pod_uid
        process = Process.RUNNING if admission.supervise else Process.NONE
        at = self.wall()
        times = Timeline(pod_uid, sandbox=at, created=at, swapped=at, verified=at, running=at)
        new = replace(root, held=True, holder=pod_uid, synced=False, timeline=times)
        self._keep(agent, replace(new, process=process))
        return ""

    def stop(self, node: str, pod_uid: str) -> None:
        """The last process of a pod ended."""
        agent = self.agents[node]
        for uid, holder in list(agent.processes.items()):
            if holder == pod_uid:
                del agent.processes[uid]
                root = agent.roots[uid]
                times = replace(root.timeline, stopped=self.wall())
                new = replace(root, held=False, holder="", timeline=times)
                self._keep(agent, replace(new, process=Process.NONE))

    def ended(self, node: str, pod_uid: str) -> None:
        """A command that took its time has ended after a stop."""
        agent = self.agents[node]
        self.stubborn.discard(pod_uid)
        for root in list(agent.roots.values()):
            if root.holder == pod_uid and root.process is Process.STOPPING:
                self._keep(agent, self._stopped(root))

    # What a test does to them.

    def add(self, node: str) -> FakeAgent:
        """A node gets an agent."""
        return self.agents.setdefault(node, FakeAgent(node))

    def connect(self, node: str) -> None:
        """The stream begins: the snapshot is the whole truth."""
        agent = self.agents[node]
        if not agent.up or not self.pointed.get(node):
            return
        self.store.begin_snapshot(node, self.now())
        self.store.put_agent(node, agent.status)
        for root in agent.roots.values():
            self.store.put_root(node, root)
        self.store.end_snapshot(node)

    def down(self, node: str) -> None:
        """The agent's process ends; roots, data and admissions stay on the disk."""
        self.agents[node].up = False
        self.store.agent_silent(node, self.now())

    def back(self, node: str) -> None:
        """The agent is back and has found its mounts and holders again."""
        self.agents[node].up = True
        self.connect(node)

    def say(self, node: str, status: AgentStatus) -> None:
        """The agent's word about its node changes."""
        self.agents[node].status = status
        if self._speaks(self.agents[node]):
            self.store.put_agent(node, status)

    def crash(self, node: str) -> None:
        """The node loses its power: no process, no mount."""
        self.down(node)
        agent = self.agents[node]
        agent.processes.clear()
        for uid, root in agent.roots.items():
            agent.roots[uid] = replace(
                root, mounted=False, held=False, holder="", process=Process.NONE
            )

    async def _enter(self, node: str, call: str) -> FakeAgent:
        if self.before:
            await self.before(call)
        agent = self.agents.get(node)
        if agent is None or not agent.up or not self.pointed.get(node):
            raise NotYet(f"{call} on {node}: no connection to its agent")
        self.calls.append((call, node))
        refusal = agent.refuse.get(call)
        if refusal:
            raise refusal
        return agent

    def _root(self, agent: FakeAgent, uid: str) -> Root:
        if uid not in agent.roots:
            raise Absent("no such root")
        return agent.roots[uid]

    def _stopped(self, root: Root) -> Root:
        times = replace(root.timeline, stopped=self.wall(), synced=self.wall())
        return replace(root, process=Process.STOPPED, synced=True, timeline=times)

    def _supervised(self, agent: FakeAgent, uid: str, pod_uid: str) -> Root:
        root = self._root(agent, uid)
        admission = agent.admissions.get(pod_uid)
        if root.holder != pod_uid or admission is None or not admission.supervise:
            raise Absent("no supervised container of this pod holds the root")
        return root

    def _speaks(self, agent: FakeAgent) -> bool:
        word = self.store.word(agent.node)
        return bool(agent.up and word and word.agent.connected)

    def _keep(self, agent: FakeAgent, root: Root) -> Root:
        agent.roots[root.uid] = root
        if self._speaks(agent):
            self.store.put_root(agent.node, root)
        return root
