"""A gate whose state file the tests write, as the node agent does in a container."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.gate.processes import run

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    Done = subprocess.CompletedProcess[str]

DOWN = ("stopping", "stopped", "frozen")
UP = ("starting", "running")


@dataclass
class Told:
    """The gate and its state file."""

    gate: Path
    state: Path

    def that_it_is(self, word: str, *, started_ms_ago: int = 3_600_000) -> None:
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
        self.says(f"{word} {now - started_ms_ago}\n".encode())

    def says(self, line: bytes) -> None:
        self.state.write_bytes(line)

    def run(self, line: str, *rest: str | Path) -> Done:
        """A whole line, split at blanks, and what must not be split."""
        return run(self.gate, *line.split(), *rest)
