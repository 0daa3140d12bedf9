"""A supervised container on a fake node: the real gate with a real command, seen by the agent."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from nodeagent.model import GATE_IN_CONTAINER, ProcessState
from tests.gate.agent_socket import descendants
from tests.nodeagent.world import UID, World, admission, event

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nodeagent.model import Root

PATIENCE = 10.0
OBEDIENT = ("sh", "-c", "echo ready; exec sleep 60")
STUBBORN = ("sh", "-c", 'trap "" TERM; echo ready; while :; do sleep 0.1; done')


class Warm:
    """One pod with one container; run() makes the next container, as the kubelet does."""

    def __init__(self, world: World, gate: Path, *command: str) -> None:
        """Announce the pod."""
        self.world, self.gate, self.command = world, gate, command or OBEDIENT
        self.seen: list[Root] = []  # every state that a stream would have been told of
        self.device = world.ensured()
        world.agent.admit(admission("pod-1", init=True, supervise=True))
        self.containers: list[subprocess.Popen[str]] = []

    @property
    def root(self) -> Root:
        """What the agent knows."""
        return self.world.store.get(UID)

    @property
    def shown(self) -> str:
        """What a probe in the container reads."""
        return self.world.paths.state(UID).read_text().split()[0]

    @property
    def container(self) -> subprocess.Popen[str]:
        """The latest one."""
        return self.containers[-1]

    def create(self) -> None:
        """Go as far as to the moment before the container's first instruction."""
        number = len(self.containers) + 1
        # The kubelet's runtime builds it, and it waits: so its pid is known before it runs.
        # The socket by its name alone: the path of a test's folder may be too long for one.
        line = [str(self.gate), "supervise", "-s", "agent.sock", "--", *self.command]
        made = subprocess.Popen(
            ["sh", "-c", 'read go; exec "$@"', "sh", *line],
            cwd=self.world.paths.gate_folder(UID),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.containers.append(made)
        at = event(pid=made.pid, cid=f"c{number}")
        self.world.runtime.create(at.container_id)
        self.world.gatekeeper.create_container(at)
        self.world.gatekeeper.post_create_container(at)
        args = self.world.runtime.stored_spec(at.container_id)["process"]["args"]
        assert args[:2] == [GATE_IN_CONTAINER, "supervise"]
        self.world.kernel.spawn(made.pid, self.device, pod="pod-1")
        self.world.gatekeeper.start_container(at)
        self.world.gatekeeper.answered()

    def run(self) -> None:
        """Make a container and let it go."""
        self.create()
        assert self.container.stdin is not None
        self.container.stdin.write("go\n")
        self.container.stdin.flush()

    def running(self) -> None:
        """Have a container whose command runs."""
        self.run()
        self.until(ProcessState.RUNNING)
        assert self.printed() == "ready"

    def until(self, state: ProcessState) -> None:
        """Wait until the command is so."""
        self.wait(lambda: self.root.process is state)

    def wait(self, holds: Callable[[], bool]) -> None:
        """Wait for a change that makes it true."""
        self.world.until(holds)

    def printed(self) -> str:
        """The next line of the command."""
        assert self.container.stdout is not None
        return self.container.stdout.readline().strip()

    def start(self, *hook: str) -> Root:
        """As StartProcess does."""
        return self.world.agent.start_process(UID, "pod-1", hook)

    def stop(self, seconds: float = 60.0, *hook: str, freeze: bool = False) -> Root:
        """As StopProcess does."""
        return self.world.agent.stop_process(UID, "pod-1", seconds, hook, freeze=freeze)

    def stopped(self) -> None:
        """Have it stopped, and on disk."""
        self.stop()
        self.until(ProcessState.STOPPED)
        assert self.root.synced

    def watch(self) -> None:
        """Keep everything that is told from now on."""
        self.world.store.listen(lambda _uid: self.seen.append(self.root))

    def ended(self) -> int:
        """Wait for the container's end, of which the node's kernel tells; its exit code."""
        code = self.container.wait(PATIENCE)
        self.world.kernel.kill(self.container.pid)
        self.wait(lambda: self.root.holder is None)
        return code

    def close(self) -> None:
        """End all that is left."""
        for made in self.containers:
            left = [*descendants(made.pid), made.pid] if made.poll() is None else []
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            made.wait(PATIENCE)
            for pipe in (made.stdin, made.stdout):
                assert pipe is not None
                pipe.close()


class Hook:
    """A command of the pod's that runs until it is told how to end."""

    def __init__(self, world: World) -> None:
        """Take the place of what the runtime would run."""
        self.begun, self.go = threading.Event(), threading.Event()
        self.code = 0
        world.runtime.run = self._run

    def _run(self, _command: tuple[str, ...]) -> int:
        self.begun.set()
        assert self.go.wait(PATIENCE)
        return self.code

    def ends(self, code: int = 0) -> None:
        """Let it end."""
        self.code = code
        self.go.set()
