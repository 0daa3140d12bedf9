"""Processes that the gate's tests start and look at."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from tests.gate.places import PATIENCE, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AT_ONCE = 2.0


def run(
    *command: str | Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and keep what it says."""
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, check=False, env=env
    )


@contextmanager
def started(place: Place, *command: str | Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A running gate and its pid, which is not Popen's when unshare stands before it."""
    with subprocess.Popen([*place, *command], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, first_child(process.pid) if place else process.pid
        finally:
            process.kill()


def first_child(pid: int) -> int:
    """The pid of unshare's only child."""
    return int(wait_for(Path(f"/proc/{pid}/task/{pid}/children").read_text).split()[0])


def wait_for(question: Callable[[], object]) -> str:
    """Ask until the answer is not empty."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if answer := question():
            return str(answer)
        time.sleep(0.005)
    pytest.fail("no answer in time")


def line_of(stream: IO[str] | None) -> str:
    """The next line of a process's output."""
    assert stream is not None
    return stream.readline().strip()


def wait_until_blocked(pid: int) -> None:
    """The gate has come to its wait for signals."""
    status = Path(f"/proc/{pid}/status")
    wait_for(lambda: "SigBlk:\tfffffffffffbfeff" in status.read_text())
