"""Long-running processes that we start, found again and ended by their recorded pid.

A pid is used again after its process ended, so the record also holds its boot and start time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_KILL_SECONDS = 30.0


def start(
    record: Path, log: Path, command: Sequence[str], env: dict[str, str] | None = None
) -> int:
    """Start a process that outlives us and write its record."""
    record.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            env=os.environ | (env or {}),
        )
    record.write_text(f"{child.pid} {_identity(child.pid)}\n")
    return child.pid


def read_alive(record: Path) -> int | None:
    """The recorded pid, if that very process still runs."""
    try:
        pid, started = record.read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    return int(pid) if _identity(int(pid)) == started else None


def kill(record: Path) -> None:
    """End the recorded process at once, wait for it, and forget it."""
    pid = read_alive(record)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + _KILL_SECONDS
    while read_alive(record) is not None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} does not end")
        time.sleep(0.02)
    record.unlink(missing_ok=True)


def _identity(pid: int) -> str | None:
    """None when it ended; a zombie counts as ended, as not every PID 1 reaps."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{fields[19]}"
