"""One agent on fakes, wired as __main__ wires the real one; the tests give it lives and reboots."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nodeagent import recovery
from nodeagent.admission import Gatekeeper
from nodeagent.agent import Agent
from nodeagent.holders import Holders
from nodeagent.model import Admission, ContainerEvent, Image, Record, Role
from nodeagent.processes import Processes
from nodeagent.store import Store
from nodeagent.writeback import Writeback

if TYPE_CHECKING:
    from collections.abc import Callable

    from nodeagent.gates import Gates
    from nodeagent.paths import Paths
    from tests.fakes.kernel import FakeKernel
    from tests.fakes.runtime import FakeRuntime

UID = "0f0a4a5e-1111-4222-8333-444455556666"


def wanted(uid: str = UID) -> Record:
    """A record as EnsureRoot asks for it."""
    return Record(uid, "ns", "app", "busybox", Image("", ""))


def admission(pod_uid: str = "pod-1", role: Role = Role.CONSUMER, **more: bool) -> Admission:
    """A pod as AdmitPod announces it; its name is the role's."""
    return Admission(UID, role, "ns", f"app-{role.value}", pod_uid, "main", **more)


def event(
    pod_uid: str = "pod-1",
    pid: int = 0,
    role: Role = Role.CONSUMER,
    name: str = "main",
    cid: str = "c1",
) -> ContainerEvent:
    """A container of such a pod as NRI shows it."""
    return ContainerEvent(pod_uid, "ns", f"app-{role.value}", cid, name, pid)


@dataclass
class World:
    """Everything of one node; restart() gives the agent a new life on the same node."""

    paths: Paths
    kernel: FakeKernel
    runtime: FakeRuntime
    store: Store = field(init=False)
    holders: Holders = field(init=False)
    agent: Agent = field(init=False)
    gatekeeper: Gatekeeper = field(init=False)
    processes: Processes = field(init=False)
    _started: list[Holders] = field(default_factory=list)
    _heard: list[Gates] = field(default_factory=list)

    def restart(self) -> None:
        """Be a new process: memory and connections are gone, disk and kernel are not."""
        for gates in self._heard:
            gates.stop()
        self.store = Store("node1")
        self.holders = Holders(self.kernel, self.store)
        self.holders.start()
        self._started.append(self.holders)
        doors = (self.paths, self.kernel, self.runtime, self.store)
        writeback = Writeback(self.paths, self.kernel, self.store)
        self.processes = Processes(*doors, writeback)
        self.processes.gates.start()
        self._heard.append(self.processes.gates)
        self.agent = Agent(*doors, self.holders, processes=self.processes)
        gate = self.paths.gate("0" * 12)
        self.gatekeeper = Gatekeeper(
            self.store,
            self.holders,
            self.kernel,
            self.runtime,
            processes=self.processes,
            gate=gate,
        )
        recovery.load(self.agent)
        recovery.resume(self.agent)

    def ensured(self) -> int:
        """Have a mounted root; returns its device."""
        self.runtime.pull("img", entrypoint=("/entry",), cmd=("serve",))
        device = self.agent.ensure(wanted(), "img").device
        assert device is not None
        return device

    def running(self, pid: int = 500, pod_uid: str = "pod-1") -> int:
        """Have a consumer that passed all three moments."""
        device = self.ensured()
        self.agent.admit(admission(pod_uid))
        self.runtime.create("c1")
        self.gatekeeper.create_container(event(pod_uid))
        self.gatekeeper.post_create_container(event(pod_uid))
        self.kernel.spawn(pid, device, pod=pod_uid)
        self.gatekeeper.start_container(event(pod_uid, pid))
        self.gatekeeper.answered()
        return device

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for a change of the store that makes something true."""
        changed = threading.Event()
        stop = self.store.listen(lambda _uid: changed.set())
        try:
            while not holds():
                assert changed.wait(5), "it never came true"
                changed.clear()
        finally:
            stop()

    def close(self) -> None:
        """End the threads of all lives."""
        for holders in self._started:
            holders.stop()
        for gates in self._heard:
            gates.stop()
