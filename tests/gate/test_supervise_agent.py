"""The gate of a warm container when the agent is away, hangs or talks nonsense."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.gate.agent_socket import HUNG_UP, Agent, Line, descendants, warm
from tests.gate.places import PATIENCE, PLACES, Place
from tests.gate.processes import run, started, wait_for, wait_until_blocked

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = ("sh", "-c", "trap '' USR1; echo ready; exec sleep 60")
NONSENSE = [
    *(b"", b"\0", b"\xff" * 64, b"start" + b" " * 60, b"x" * 100_000, b"hello 1 stopped"),
    *(b"START", b"start\n", b"start\0", b" start", b"start stop 0 9"),
    *(b"stop", b"stop 0", b"stop 0 ", b"stop  0 9", b"stop 0 9 ", b"stop -1 9", b"stop 0x1 9"),
    b"stop " + b"0" * 57 + b" 99",  # an order, cut at 64
    *(b"stop 0 0", b"stop 0 65", b"stop 86400001 9", b"stop 18446744073709551616 9"),
]


@PLACES
def test_command_does_not_notice_that_the_agent_was_away(
    gate: Path, place: Place, agent: Agent
) -> None:
    with warm(place, gate, agent, *COMMAND) as it:
        pid = it.starts()
        seen = descendants(it.pid)
        for _ in range(2):
            agent.go_away()
            agent.listen()
            it.line = agent.answer()
            assert it.line.hears() == f"hello 1 running {pid}"
        assert it.line.asks("start") == f"started {pid}"
        assert descendants(it.pid) == seen
        assert it.line.asks("stop 60000 15") == "stopped"
        agent.go_away()
        agent.listen()
        it.line = agent.answer()
        assert it.line.hears() == "hello 1 stopped"
        it.starts()


@PLACES
def test_stop_goes_on_without_the_agent(gate: Path, place: Place, agent: Agent) -> None:
    stubborn = 'trap "" TERM; echo ready; exec sleep 60'
    with warm(place, gate, agent, "sh", "-c", stubborn) as it:
        it.starts()
        it.line.says("stop 700 15")
        agent.go_away()
        agent.listen()
        it.line = agent.answer()
        assert it.line.hears() == "hello 1 stopping"
        assert it.line.hears() == "stopped"
        it.line.says("start")
        assert it.line.hears().startswith("started ")
        assert it.printed() == "ready"
        it.line.says("stop 0 15")
        agent.go_away()
        wait_for(lambda: not descendants(it.pid))
        agent.listen()
        assert agent.answer().hears() == "hello 1 stopped"


@PLACES
def test_gate_waits_for_an_agent_and_can_be_ended_meanwhile(
    gate: Path, place: Place, agent: Agent
) -> None:
    agent.go_away()
    line = (gate, "supervise", "-s", agent.path, "--", *COMMAND)
    with started(place, *line) as (process, pid):
        wait_until_blocked(pid)
        agent.listen()
        call = agent.answer()
        assert call.hears() == "hello 1 stopped"
        agent.go_away()
        os.kill(pid, signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


def test_nonsense_ends_the_connection_and_nothing_else(gate: Path, agent: Agent) -> None:
    with warm((), gate, agent, *COMMAND) as it:
        pid = it.starts()
        seen = descendants(it.pid)
        for message in NONSENSE:
            # What follows in the same breath is not heard either.
            it.line.says(message)
            with suppress(OSError):
                it.line.says("stop 0 9")
            assert it.line.hears() == HUNG_UP, message
            it.line = agent.answer()
            assert it.line.hears() == f"hello 1 running {pid}", message
        assert descendants(it.pid) == seen


def test_nonsense_does_not_start_a_stopped_command(gate: Path, agent: Agent) -> None:
    with warm((), gate, agent, *COMMAND) as it:
        for message in (b"", b"start\0", b"start\n", b"start" * 20):
            assert it.line.asks(message) == HUNG_UP
            it.line = agent.answer()
            assert it.line.hears() == "hello 1 stopped"


def test_agent_that_reads_no_answer_is_called_anew(gate: Path, agent: Agent) -> None:
    with warm((), gate, agent, *COMMAND) as it:
        pid = it.starts()
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            ask_for_ever(it.line)
        it.line = agent.answer()
        assert it.line.hears() == f"hello 1 running {pid}"


def ask_for_ever(line: Line) -> None:
    """Ask, and never read an answer."""
    while True:
        line.says("start")


def test_path_that_no_socket_can_have_is_refused(gate: Path) -> None:
    path = "/" + "x" * 107
    done = run(gate, "supervise", "-s", path, "--", "true")
    assert done.stderr.startswith(f"stoppablecontainer: connect {path}: File")
    assert done.returncode == 125
