"""What is known of each supervised container's command, and every single change of it.

processes.py decides which change comes next, stops.py works on those that take long. What changes
goes to the store for the controller, and into a file for the container's own probes and hooks.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from nodeagent.errors import AgentError, NotFound
from nodeagent.gates import read_begun, remove_folder, write_state
from nodeagent.model import ProcessState
from nodeagent.store import now_us

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nodeagent.doors import Kernel
    from nodeagent.gates import Gates
    from nodeagent.model import Holder
    from nodeagent.paths import Paths
    from nodeagent.store import Store

_log = structlog.get_logger()


@dataclass(eq=False)
class Stop:
    """A stop, or freeze, that is on its way."""

    gate: Holder
    deadline: float = 0.0  # of the grace, by time.monotonic()
    signal: int = 0  # once the gate was told
    ended: bool = False  # the gate has said so
    error: AgentError | None = None


@dataclass(eq=False)
class Command:
    """One root's command; `changed` guards it all, and is held for moments only."""

    uid: str
    changed: threading.Condition = field(default_factory=threading.Condition)
    state: ProcessState = ProcessState.NONE
    wanted: bool | None = None  # None: an earlier agent knew
    next_hook: tuple[str, ...] = ()  # post_start of the latest order
    hook: tuple[str, ...] = ()  # and of the start that is on its way
    fresh: bool = False  # a container that begins with its command has its hooks from the kubelet
    begun_ms: int = 0  # the latest start, since boot
    lives: int = 0  # a number for each start and each container
    answered: bool = False  # that start
    stop: Stop | None = None
    stop_signal: tuple[str, int] | None = None  # of a container, which never changes its own


class Commands:
    """The table of them, and what can be done to one; the caller holds its `changed`."""

    def __init__(self, paths: Paths, kernel: Kernel, store: Store, gates: Gates) -> None:
        """Start with none."""
        self._paths, self._kernel, self._store, self._gates = paths, kernel, store, gates
        self._table: dict[str, Command] = {}

    def add(self, uid: str) -> Command:
        """Know of a root's command, which an earlier agent may have started."""
        if uid not in self._table:
            self._table[uid] = Command(uid, begun_ms=read_begun(self._paths.state(uid)))
        return self._table[uid]

    def get(self, uid: str) -> Command | None:
        """Find a root's command."""
        return self._table.get(uid)

    def drop(self, uid: str) -> None:
        """Forget a root's command, and leave nothing of it on the disk."""
        command = self._table.pop(uid, None)
        if command is not None:
            with command.changed:
                self.end_life(command)
        remove_folder(self._paths.gate_folder(uid))

    def of(self, uid: str, pod_uid: str) -> tuple[Command, Holder]:
        """Find the command that a pod's gate supervises now, and that gate."""
        command, gate = self.get(uid), self._store.get(uid).supervised
        if command is None or gate is None or gate.pod_uid != pod_uid:
            message = f"no supervised container of pod {pod_uid} holds root {uid}"
            raise NotFound(message)
        return command, gate

    def lives(self, command: Command, gate: Holder) -> bool:
        """Say whether a gate still holds the root."""
        holder = self._store.get(command.uid).supervised
        return holder is not None and holder.pid == gate.pid

    def end_life(self, command: Command) -> None:
        """Let everything that goes on know that its container is not there any more."""
        command.stop, command.answered, command.state = None, False, ProcessState.NONE
        command.lives += 1
        command.changed.notify_all()

    def show(self, command: Command, word: str) -> None:
        """Tell the container how its command is, before it is so."""
        try:
            write_state(self._paths.state(command.uid), word, command.begun_ms)
        except OSError as error:
            # A full disk must not keep a command from being stopped.
            _log.error("state not shown", root=command.uid, state=word, error=str(error))

    def publish(
        self,
        command: Command,
        state: ProcessState,
        marks: Mapping[str, int] | None = None,
        **changes: Any,
    ) -> None:
        """Tell everybody outside, and who waits for this command."""
        command.state = state
        self._store.update(
            command.uid,
            when=lambda root: root.supervised is not None,
            marks=marks,
            process=state,
            **changes,
        )
        command.changed.notify_all()

    def begin(self, command: Command, hook: tuple[str, ...]) -> None:
        """Tell the gate to start; those who watch the store are told when that is on its way."""
        command.begun_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
        command.lives += 1
        command.answered, command.hook, command.state = False, hook, ProcessState.STARTING
        self.show(command, "starting")
        self._unsynced(command)
        self._gates.send(command.uid, "start")
        self._store.tell(command.uid)

    def thaw(self, command: Command, gate: Holder) -> None:
        """Let a frozen container go on."""
        command.answered, command.state = True, ProcessState.RUNNING
        self.show(command, "running")
        self._unsynced(command)
        try:
            self._kernel.thaw(gate.pid)
        except AgentError:
            self.show(command, "frozen")
            self.publish(command, ProcessState.FROZEN)
            raise
        self.publish(command, ProcessState.RUNNING, marks={"running": now_us()})

    def _unsynced(self, command: Command) -> None:
        self._store.update(
            command.uid, tell=False, marks={"running": 0}, synced=False, process=command.state
        )

    def say_stop(self, command: Command, stop: Stop) -> None:
        """Give the gate the order; when it is away, its next hello makes it be said again."""
        left = max(0, round((stop.deadline - time.monotonic()) * 1000))
        self._gates.send(command.uid, f"stop {left} {stop.signal}")


def in_background(name: str, act: Callable[[], None]) -> None:
    """Do what waits in a thread of its own: a root has one or two at most."""
    threading.Thread(target=act, name=name, daemon=True).start()
