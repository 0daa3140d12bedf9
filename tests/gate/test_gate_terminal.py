"""The gate on a terminal: the keys, job control and hanging up, as under `kubectl run -it`."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import pytest

from tests.gate.places import PATIENCE, PLACES, Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.gate.agent_socket import Agent


@contextmanager
def terminal(
    place: Place, *command: str | Path
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """A command that leads a session on a terminal of its own, as runc starts it; our end."""
    master, theirs = os.openpty()
    # A shell lets its background jobs ignore SIGINT, and what starts ignored stays so for them all.
    line = [*place, "env", "--default-signal", "setsid", "--ctty", *command]
    with subprocess.Popen(line, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        with os.fdopen(master, "rb+", buffering=0) as ours:
            try:
                yield process, ours
            finally:
                process.kill()


def expect(ours: IO[bytes], wanted: str) -> str:
    """Read the terminal until the text is there."""
    seen = ""
    deadline = time.monotonic() + PATIENCE
    while wanted not in seen:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([ours], [], [], left)[0]:
            pytest.fail(f"{wanted!r} did not come; the terminal shows {seen!r}")
        seen += ours.read(4096).decode(errors="replace")
    return seen


@PLACES
def test_interrupt_key_reaches_the_command(gate: Path, place: Place) -> None:
    with terminal(place, gate, "init", "--", "cat") as (process, ours):
        ours.write(b"hello\n")
        expect(ours, "hello\r\nhello")
        ours.write(b"\x03")
        assert process.wait(PATIENCE) == 128 + signal.SIGINT


@PLACES
def test_shell_on_a_terminal_has_job_control(gate: Path, place: Place) -> None:
    # Without readline, which loses what is typed while it switches the terminal's mode.
    shell = ("env", "PS1=prompt> ", "bash", "--norc", "--noprofile", "--noediting", "-i")
    with terminal(place, gate, "init", "--", *shell) as (process, ours):
        assert "job control" not in expect(ours, "prompt> ")
        ours.write(b"cat\n")
        ours.write(b"typed\n")
        expect(ours, "typed\r\ntyped")
        ours.write(b"\x1a")
        expect(ours, "Stopped")
        ours.write(b"fg; echo ended-$?\n")
        expect(ours, "cat\r\n")
        ours.write(b"again\n")
        expect(ours, "again\r\nagain")
        ours.write(b"\x03")
        expect(ours, "prompt> ")
        ours.write(b"exit 5\n")
        assert process.wait(PATIENCE) == 5


@PLACES
def test_hang_up_of_the_terminal_ends_the_command(gate: Path, place: Place) -> None:
    # One that does not read: the end of file would race with the signal.
    command = ("sh", "-c", "echo ready; exec sleep infinity")
    with terminal(place, gate, "init", "--", *command) as (process, ours):
        expect(ours, "ready")
        ours.close()
        assert process.wait(PATIENCE) == 128 + signal.SIGHUP


@PLACES
def test_warm_start_finds_the_terminal_as_a_new_one(gate: Path, place: Place, agent: Agent) -> None:
    # Leaves it without echo, and a group of its own in the foreground.
    command = (
        "stty -a | tr ' ' '\\n' | grep -x -e -*echo; stty -echo; bash -ic 'echo front-$?; cat'"
    )
    line = (gate, "supervise", "-s", agent.path, "--", "sh", "-c", command)
    with terminal(place, *line) as (process, ours):
        call = agent.answer()
        assert call.hears() == "hello 1 stopped"
        for typed in ("once", "twice"):
            assert call.asks("start").startswith("started ")
            shown = expect(ours, "front-0")
            assert "-echo" not in shown
            assert "echo" in shown
            ours.write(f"{typed}\n".encode())
            expect(ours, typed)
            assert call.asks("stop 0 15") == "stopped"
        assert process.poll() is None


@PLACES
def test_what_a_stopped_command_did_not_read_is_not_for_the_next(
    gate: Path, place: Place, agent: Agent
) -> None:
    command = "read line; echo got-$line; exec sleep 60"
    line = (gate, "supervise", "-s", agent.path, "--", "sh", "-c", command)
    with terminal(place, *line) as (_, ours):
        call = agent.answer()
        assert call.hears() == "hello 1 stopped"
        for typed in ("once", "twice"):
            assert call.asks("start").startswith("started ")
            ours.write(f"{typed}\n".encode())
            expect(ours, f"got-{typed}")
            ours.write(b"more\n")
            expect(ours, "more\r\n")
            assert call.asks("stop 0 15") == "stopped"


@PLACES
def test_keys_and_a_new_size_do_not_end_a_container_that_is_stopped(
    gate: Path, place: Place, agent: Agent
) -> None:
    line = (gate, "supervise", "-s", agent.path, "--", "cat")
    with terminal(place, *line) as (process, ours):
        call = agent.answer()
        assert call.hears() == "hello 1 stopped"
        for _ in range(2):
            ours.write(b"typed too early\n\x03")
            expect(ours, "^C")
            fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("4H", 30, 90, 0, 0))
            fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("4H", 40, 90, 0, 0))
            assert call.asks("start").startswith("started ")
            ours.write(b"typed in time\n")
            expect(ours, "typed in time\r\ntyped in time")
            assert call.asks("stop 0 15") == "stopped"
        assert process.poll() is None
