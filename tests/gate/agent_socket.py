"""The node agent's end of the connection to a warm container's gate, and such a gate."""

from __future__ import annotations

import os
import select
import signal
import socket
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.gate.places import PATIENCE, Place
from tests.gate.processes import line_of, started

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

# More than any message of the gate may be.
PACKET = 4096
HUNG_UP = ""


class Line:
    """One connection of a gate."""

    def __init__(self, peer: socket.socket) -> None:
        self.socket = peer
        self.socket.settimeout(PATIENCE)

    def hears(self) -> str:
        """The gate's next message, or that it hung up."""
        try:
            return self.socket.recv(PACKET).decode("ascii")
        except ConnectionResetError:  # it had not read all that we said
            return HUNG_UP

    def asks(self, order: str | bytes) -> str:
        """What the gate answers."""
        self.says(order)
        return self.hears()

    def says(self, order: str | bytes) -> None:
        self.socket.send(order.encode() if isinstance(order, str) else order)

    def is_silent(self, seconds: float) -> bool:
        """Nothing comes in this time."""
        return not select.select([self.socket], [], [], seconds)[0]

    def close(self) -> None:
        self.socket.close()


class Agent:
    """Listens where the gates connect."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: list[Line] = []
        self.listen()

    def listen(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.settimeout(PATIENCE)
        self._listener.bind(str(self.path))
        self._listener.listen()

    def answer(self) -> Line:
        """The next gate's connection, before its hello."""
        self._lines.append(Line(self._listener.accept()[0]))
        return self._lines[-1]

    def go_away(self) -> None:
        """End as a killed agent does, and leave nothing behind."""
        self._listener.close()
        for line in self._lines:
            line.close()
        self.path.unlink(missing_ok=True)


@dataclass
class Warm:
    """A gate that supervises, its pid, and the connection on which it has said hello."""

    process: subprocess.Popen[str]
    pid: int
    line: Line

    def printed(self) -> str:
        """The next line of the command."""
        return line_of(self.process.stdout)

    def starts(self) -> int:
        """Start the command, wait until it says that it is ready; its pid as the gate sees it."""
        word, pid = self.line.asks("start").split()
        assert (word, self.printed()) == ("started", "ready")
        return int(pid)

    def ends(self) -> int:
        """The exit code."""
        return self.process.wait(PATIENCE)


@contextmanager
def warm(place: Place, gate: Path, agent: Agent, *command: str | Path) -> Iterator[Warm]:
    """A stopped warm container."""
    line = (gate, "supervise", "-s", agent.path, "--", *command)
    with started(place, *line) as (process, pid):
        try:
            call = agent.answer()
            assert call.hears() == "hello 1 stopped"
            yield Warm(process, pid, call)
        finally:
            for left in descendants(pid):
                with suppress(ProcessLookupError):
                    os.kill(left, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """All that came from a process and live below it, the dead that nobody has reaped among it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [found for child in children for found in (int(child), *descendants(int(child)))]
