"""What takes its time: hooks, the stop from pre_stop to the disk, the freeze; a thread for each.

processes.py begins it, and may change its mind meanwhile: every step looks whether it still counts.
"""

from __future__ import annotations

import itertools
import signal
import time
from typing import TYPE_CHECKING

import structlog

from nodeagent.commands import in_background
from nodeagent.errors import AgentError
from nodeagent.model import ProcessState
from nodeagent.store import now_us

if TYPE_CHECKING:
    from collections.abc import Callable

    from nodeagent.commands import Command, Commands, Stop
    from nodeagent.doors import Kernel, Runtime
    from nodeagent.gates import Gates
    from nodeagent.store import Store
    from nodeagent.writeback import Writeback

_HOOK_LIMIT = 24 * 60 * 60.0  # seconds; the kubelet has no limit for a post_start
_LEAST_GRACE = 2.0  # seconds that a command has after its pre_stop, as with the kubelet
_LOOK_AGAIN = 1.0
_PAUSES = (0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1.0)
_LOCK_WAIT = 60.0
_log = structlog.get_logger()


class Stops:
    """The work of stopping, for all roots."""

    def __init__(
        self,
        commands: Commands,
        gates: Gates,
        kernel: Kernel,
        runtime: Runtime,
        *,
        store: Store,
        writeback: Writeback,
    ) -> None:
        """Wire the doors."""
        self._commands, self._gates = commands, gates
        self._kernel, self._runtime = kernel, runtime
        self._store, self._writeback = store, writeback

    def stop(self, command: Command, stop: Stop, hook: tuple[str, ...]) -> None:
        """Begin a stop; one that has a signal already was ordered by somebody else."""
        self._begin(command, stop, lambda: self._stop(command, stop, hook))

    def freeze(self, command: Command, stop: Stop) -> None:
        """Begin a freeze."""
        self._begin(command, stop, lambda: self._freeze(command, stop))

    def post_start(self, command: Command, hook: tuple[str, ...]) -> None:
        """Run the hook; the command is RUNNING after it, or its container is ended."""
        life, gate = command.lives, self._store.get(command.uid).supervised

        def run() -> None:
            failed = gate is None or not self._hook(gate.container_id, hook, _HOOK_LIMIT)
            with command.changed:
                # In a stop the hook is killed with all the rest.
                if command.lives != life or command.stop is not None:
                    return
                if failed and gate is not None and self._commands.lives(command, gate):
                    self._kernel.kill(gate.pid)
                elif command.state is ProcessState.STARTING:
                    self._commands.show(command, "running")
                    self._commands.publish(command, ProcessState.RUNNING)

        in_background("post-start", run)

    # ---- the threads ----

    def _begin(self, command: Command, stop: Stop, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except Exception:  # noqa: BLE001 - nobody else would find out what is due
                _log.exception("stop failed by a bug", root=command.uid)
                with command.changed:
                    if command.stop is stop:
                        command.stop = None
                        self._commands.publish(command, ProcessState.CONNECTING)
                # The gate calls again, says how it is, and what is due then is done.
                self._gates.hang_up(command.uid)

        in_background("stop", run)

    def _stop(self, command: Command, stop: Stop, hook: tuple[str, ...]) -> None:
        if hook:
            left = stop.deadline - time.monotonic()
            if left > 0:
                self._hook(stop.gate.container_id, hook, left)
            stop.deadline = max(stop.deadline, time.monotonic() + _LEAST_GRACE)
        number = stop.signal or self._signal(command, stop.gate.container_id)
        with command.changed:
            if command.stop is not stop:
                return
            self._commands.show(command, "stopping")
            if not stop.signal:
                stop.signal = number
                self._commands.say_stop(command, stop)
            while not stop.ended:
                command.changed.wait(_LOOK_AGAIN)
                if not self._counts(command, stop):
                    return
        if self._end_rest(command, stop):
            self._finish(command, stop, ProcessState.STOPPED)

    def _freeze(self, command: Command, stop: Stop) -> None:
        with command.changed:
            if command.stop is not stop:
                return
            self._commands.show(command, "frozen")
        try:
            self._kernel.freeze(stop.gate.pid)
        except AgentError as error:
            _log.error("not frozen", root=command.uid, error=str(error))
            with command.changed:
                if self._counts(command, stop):
                    stop.error, command.stop, command.wanted = error, None, True
                    self._commands.show(command, "running")
                    self._commands.publish(command, ProcessState.RUNNING)
            return
        self._finish(command, stop, ProcessState.FROZEN)

    def _finish(self, command: Command, stop: Stop, state: ProcessState) -> None:
        """Nothing of the user's runs: write all to disk, and say so, unless it shall run again."""
        stopped = now_us()
        if self._starts_again(command, stop, state):
            return
        synced = True
        try:
            with self._writeback.locks.locked(command.uid, _LOCK_WAIT):
                self._writeback.flush(command.uid)
        except (AgentError, OSError) as error:
            # The next StopProcess or Sync tries again.
            _log.error("not synced", root=command.uid, error=str(error))
            synced = False
        if self._starts_again(command, stop, state):
            return
        with command.changed:
            if not self._counts(command, stop) or command.wanted:
                return
            command.stop = None
            if state is ProcessState.STOPPED:
                self._commands.show(command, "stopped")
            marks = {"stopped": stopped} | ({"synced": now_us()} if synced else {})
            self._commands.publish(command, state, marks=marks, synced=synced)
        # Nobody waits for this; an agent that ends before it only syncs once more.
        with self._writeback.locks.locked(command.uid, _LOCK_WAIT):
            self._writeback.note(command.uid)

    def _starts_again(self, command: Command, stop: Stop, state: ProcessState) -> bool:
        """Do what was ordered during the stop; true when that, or the container's end, was all."""
        with command.changed:
            if not self._counts(command, stop):
                return True
            if not command.wanted:
                return False
            command.stop = None
            if state is ProcessState.FROZEN:
                self._commands.thaw(command, stop.gate)
            else:
                self._commands.begin(command, command.next_hook)
            return True

    def _counts(self, command: Command, stop: Stop) -> bool:
        if command.stop is stop and not self._commands.lives(command, stop.gate):
            self._commands.end_life(command)
        return command.stop is stop

    def _end_rest(self, command: Command, stop: Stop) -> bool:
        """Kill what the gate could not: set-uid programs, what a shared pid namespace hides."""
        for pause in itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1])):
            try:
                left = self._kernel.kill_beside(stop.gate.pid)
            except AgentError as error:
                _log.error("rest not ended", root=command.uid, error=str(error))
                left = 0
            if not left:
                break
            with command.changed:
                command.changed.wait(pause)
                if not self._counts(command, stop):
                    return False
        with command.changed:
            if command.stop is stop and self._kernel.process(stop.gate.pid) is None:
                # With its gate the container has ended, and this stop counts no more.
                self._commands.end_life(command)
            return command.stop is stop

    def _signal(self, command: Command, container_id: str) -> int:
        if command.stop_signal is not None and command.stop_signal[0] == container_id:
            return command.stop_signal[1]
        try:
            number = self._runtime.stop_signal(container_id)
        except AgentError as error:
            _log.warning("stop signal not known", container=container_id, error=str(error))
            return signal.SIGTERM
        command.stop_signal = (container_id, number)
        return number

    def _hook(self, container_id: str, hook: tuple[str, ...], seconds: float) -> bool:
        try:
            code, why = self._runtime.exec(container_id, hook, seconds), ""
        except AgentError as error:
            code, why = -1, str(error)
        if code:
            _log.warning("hook failed", container=container_id, hook=hook[0], code=code, error=why)
        return code == 0
