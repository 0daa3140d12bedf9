"""The commands of supervised containers: what is wanted, what the gate says, what follows.

agent.py hands it the controller's orders, admission.py its containers, gates.py what was heard.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, assert_never

from nodeagent.commands import Commands, Stop
from nodeagent.errors import Busy, NotThereYet
from nodeagent.gates import Gates
from nodeagent.model import ProcessState
from nodeagent.stops import Stops
from nodeagent.store import now_us

if TYPE_CHECKING:
    from pathlib import Path

    from nodeagent.commands import Command
    from nodeagent.doors import Kernel, Runtime
    from nodeagent.gates import Word
    from nodeagent.model import Holder, Root
    from nodeagent.paths import Paths
    from nodeagent.store import Store
    from nodeagent.writeback import Writeback

_START_WAIT = 2.0  # seconds until the gate must have answered
_STOP_WAIT = 0.2  # seconds that a stop may take to be answered with its end
_ORDERED_ELSEWHERE = 1  # in a signal's place
_NOBODY = frozenset({ProcessState.NONE, ProcessState.CONNECTING})


class Processes:
    """What became of every order, and what is to be done when a gate speaks."""

    def __init__(
        self, paths: Paths, kernel: Kernel, runtime: Runtime, store: Store, writeback: Writeback
    ) -> None:
        """Wire the doors; gates.start() makes it hear."""
        self._paths, self._kernel, self._store = paths, kernel, store
        self.writeback, self.gates = writeback, Gates(paths, store)
        self.gates.on_heard, self.gates.on_lost = self.heard, self.lost
        self._commands = Commands(paths, kernel, store, self.gates)
        self._stops = Stops(
            self._commands, self.gates, kernel, runtime, store=store, writeback=writeback
        )

    # ---- what comes and goes ----

    def admit(self, uid: str, *, anew: bool) -> None:
        """Be ready for a pod's container; a pod that is new shall run its command."""
        command = self._commands.add(uid)
        if anew:
            with command.changed:
                self._commands.end_life(command)
                command.wanted, command.next_hook = True, ()
        self.gates.listen(uid)

    def forget(self, uid: str) -> None:
        """Know nothing of a root's command any more; fine when there was nothing."""
        self.gates.close(uid)
        self._commands.drop(uid)

    def container_starts(self, uid: str) -> None:
        """Before a container's first instruction: its hooks and probes may look at once."""
        command = self._commands.add(uid)
        with command.changed:
            self._commands.end_life(command)
            command.state = ProcessState.CONNECTING
            command.fresh = bool(command.wanted)
            self._commands.show(command, "starting" if command.wanted else "stopped")

    def recover(self, uid: str) -> None:
        """After a restart of the agent: find out what a frozen gate cannot say."""
        gate, command = self._store.get(uid).supervised, self._commands.get(uid)
        if gate is None or command is None or command.state is not ProcessState.NONE:
            return
        if not self._kernel.is_frozen(gate.pid):
            return
        with command.changed:
            command.wanted, command.stop = False, Stop(gate)
            self._commands.publish(command, ProcessState.STOPPING)
            self._stops.freeze(command, command.stop)

    def folder(self, uid: str) -> Path:
        """Name what a supervised container sees of the agent."""
        return self._paths.gate_folder(uid)

    # ---- the controller's orders ----

    def start(self, uid: str, pod_uid: str, hook: tuple[str, ...]) -> Root:
        """Start or thaw; the way to the gate is as short as it can be."""
        command, gate = self._commands.of(uid, pod_uid)
        with command.changed:
            command.wanted, command.next_hook = True, hook
            if command.state is ProcessState.STOPPED:
                self._commands.begin(command, hook)
            elif command.state is ProcessState.FROZEN:
                self._commands.thaw(command, gate)
            starting = ProcessState.STARTING
            command.changed.wait_for(
                lambda: command.answered or command.state is not starting, _START_WAIT
            )
            state, answered = command.state, command.answered
        if state is ProcessState.STOPPING:
            message = f"the command of root {uid} is being stopped; it is started after that"
            raise Busy(message)
        if state in _NOBODY or not answered:
            missing = "connected" if state in _NOBODY else "answered"
            message = f"the gate of root {uid} has not {missing} yet"
            raise NotThereYet(message)
        return self._store.get(uid)

    def stop(
        self, uid: str, pod_uid: str, seconds: float, hook: tuple[str, ...], *, freeze: bool
    ) -> Root:
        """Stop or freeze; what takes longer than a moment goes on after the answer."""
        command, gate = self._commands.of(uid, pod_uid)
        with command.changed:
            command.wanted, command.next_hook = False, ()
            if command.state in _NOBODY:
                message = f"the gate of root {uid} has not connected yet"
                raise NotThereYet(message)
            deadline = time.monotonic() + seconds
            stop = command.stop
            if stop is None:
                stop = self._order(command, Stop(gate, deadline), hook, freeze=freeze)
            elif not freeze and stop.signal and not stop.ended and deadline < stop.deadline:
                stop.deadline = deadline
                self._commands.say_stop(command, stop)
            if stop is not None:
                command.changed.wait_for(lambda: command.stop is not stop, _STOP_WAIT)
        if stop is not None and stop.error is not None:
            raise stop.error
        return self._store.get(uid)

    def _order(
        self, command: Command, stop: Stop, hook: tuple[str, ...], *, freeze: bool
    ) -> Stop | None:
        """Begin what was ordered; None when it is so already."""
        stopped = command.state is ProcessState.STOPPED
        if stopped or (freeze and command.state is ProcessState.FROZEN):
            if self._store.get(command.uid).synced:
                return None
            # The disk refused the last time.
            stop.signal, stop.ended, hook, freeze = _ORDERED_ELSEWHERE, True, (), not stopped
        elif command.state is ProcessState.FROZEN:
            self._commands.thaw(command, stop.gate)
        command.stop = stop
        marks = {"stopping": now_us(), "stopped": 0, "synced": 0}
        self._commands.publish(command, ProcessState.STOPPING, marks=marks)
        if freeze:
            self._stops.freeze(command, stop)
        else:
            self._stops.stop(command, stop, hook)
        return stop

    # ---- what the gates say ----

    def heard(self, uid: str, word: Word) -> None:
        """Take a gate's word for its command; for nothing else that lives in the container."""
        command, gate = self._commands.get(uid), self._store.get(uid).supervised
        if command is None or gate is None:
            return
        with command.changed:
            match word:
                case "hello stopped" | "stopped":
                    self._is_stopped(command, gate, hello=word != "stopped")
                case "hello running" | "started":
                    self._is_running(command)
                case "hello stopping":
                    if command.stop is None:
                        self._take_over(command, Stop(gate, signal=_ORDERED_ELSEWHERE))
                case _:
                    assert_never(word)

    def lost(self, uid: str) -> None:
        """Wait for the gate's next call, or for the container's end."""
        command = self._commands.get(uid)
        if command is None:
            return
        with command.changed:
            if command.stop is None and command.state is not ProcessState.FROZEN:
                self._commands.publish(command, ProcessState.CONNECTING)
            command.changed.notify_all()

    def _is_stopped(self, command: Command, gate: Holder, *, hello: bool) -> None:
        fresh, command.fresh = command.fresh, False
        if command.stop is not None:
            command.stop.ended = True
            command.changed.notify_all()
        elif hello and command.wanted:
            self._commands.begin(command, () if fresh else command.next_hook)
        elif hello or command.state is ProcessState.RUNNING:
            self._take_over(command, Stop(gate, signal=_ORDERED_ELSEWHERE, ended=True))

    def _take_over(self, command: Command, stop: Stop) -> None:
        """Do what follows a stop that an earlier agent has ordered."""
        command.wanted, command.stop = bool(command.wanted), stop
        self._commands.publish(command, ProcessState.STOPPING)
        self._stops.stop(command, stop, ())

    def _is_running(self, command: Command) -> None:
        starting = command.state is ProcessState.STARTING
        if command.stop is not None:
            if command.stop.signal > _ORDERED_ELSEWHERE:
                self._commands.say_stop(command, command.stop)  # lost with the connection
            return
        if command.state is ProcessState.RUNNING or (starting and command.answered):
            return
        command.answered, command.wanted = True, command.wanted is not False
        marks = {"running": now_us()} if starting else {}
        if starting and command.hook:
            self._commands.publish(command, ProcessState.STARTING, marks=marks)
            self._stops.post_start(command, command.hook)
            return
        self._commands.show(command, "running")
        self._commands.publish(command, ProcessState.RUNNING, marks=marks)
