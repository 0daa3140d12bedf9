"""The gate of a warm container: starts and stops the command as the agent says, and no one else."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from tests.gate.agent_socket import HUNG_UP, Agent, descendants, warm
from tests.gate.places import AS_PID_1, PATIENCE, PLACES, UNSHARE, Place
from tests.gate.processes import AT_ONCE, line_of, run, started, wait_for

OBEDIENT = ("sh", "-c", "echo ready; exec sleep 60")
# Says at SIGUSR1 that it was asked, and ignores SIGTERM.
STUBBORN = (
    "sh",
    "-c",
    'trap "echo asked" USR1; trap "" TERM; sleep 60 & echo ready; while :; do wait $!; done',
)
ASK = f"stop 60000 {signal.SIGUSR1:d}"
# Fifty orphans, then a daemon of two processes in a session of its own that ignores what it can.
LEAVING = """
exec 3>"$1"
i=0; while [ $i -lt 50 ]; do (sleep 60 &); i=$((i+1)); done
daemon='trap "" TERM HUP INT; sleep 60 & sleep 60'
(setsid sh -c "(setsid sh -c '$daemon' &); $daemon" &)
echo ready
[ "$2" = obey ] || trap "" TERM
sleep 60
"""


@PLACES
def test_command_runs_when_the_agent_says_so(gate: Path, place: Place, agent: Agent) -> None:
    with warm(place, gate, agent, "sh", "-c", "echo ready; echo $$; exec sleep 60") as it:
        assert descendants(it.pid) == []
        pid = it.starts()
        assert it.printed() == str(pid)
        # Asked again, it says the same and does nothing.
        assert it.line.asks("start") == f"started {pid}"
        assert len(descendants(it.pid)) == 1


@PLACES
def test_command_stops_at_the_signal_and_starts_again(
    gate: Path, place: Place, agent: Agent
) -> None:
    bye = 'trap "echo bye; exit 3" USR1; sleep 60 & echo ready; wait'
    with warm(place, gate, agent, "sh", "-c", bye) as it:
        pids = set()
        for _ in range(3):
            pids.add(it.starts())
            asked = time.monotonic()
            assert it.line.asks(ASK) == "stopped"
            assert time.monotonic() - asked < AT_ONCE
            assert it.printed() == "bye"
            assert descendants(it.pid) == []
        assert len(pids) == 3
        assert it.process.poll() is None


@PLACES
def test_command_that_ignores_the_signal_has_its_grace(
    gate: Path, place: Place, agent: Agent
) -> None:
    with warm(place, gate, agent, *STUBBORN) as it:
        it.starts()
        asked = time.monotonic()
        assert it.line.asks(f"stop 300 {signal.SIGTERM:d}") == "stopped"
        assert 0.3 <= time.monotonic() - asked < 0.3 + AT_ONCE
        assert descendants(it.pid) == []


@PLACES
@pytest.mark.parametrize("grace", [0, 100, 60000], ids=lambda ms: f"{ms}-ms")
def test_nothing_of_the_command_is_left(
    gate: Path, place: Place, agent: Agent, tmp_path: Path, grace: int
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    obey = "obey" if grace > 100 else "never"
    with warm(place, gate, agent, "sh", "-c", LEAVING, "sh", fifo, obey) as it:
        it.starts()
        wait_for(lambda: len(descendants(it.pid)) >= 1 + 50 + 2 * 2)
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)  # they live
        assert it.line.asks(f"stop {grace} {signal.SIGTERM:d}") == "stopped"
        assert os.read(reader, 1) == b""  # end of file: the last of them is gone
        assert descendants(it.pid) == []
    os.close(reader)


def test_nothing_is_left_where_proc_is_another_namespaces(gate: Path, agent: Agent) -> None:
    not_pid_1 = (*UNSHARE, "sh", "-c", '"$0" "$@" & wait')
    daemon = "(setsid sleep 60 &); echo ready; exec sleep 60"
    with warm(not_pid_1, gate, agent, "sh", "-c", daemon) as it:
        it.starts()
        wait_for(lambda: len(descendants(it.pid)) == 3)  # the gate is one of them
        assert it.line.asks(f"stop 0 {signal.SIGTERM:d}") == "stopped"
        assert len(descendants(it.pid)) == 1


def test_what_came_in_by_exec_is_ended_by_a_stop_and_can_come_again(
    gate: Path, agent: Agent
) -> None:
    with warm(AS_PID_1, gate, agent, *OBEDIENT) as it:
        inside = ("nsenter", "--target", str(it.pid), "--pid", "--mount", "sh", "-c")
        it.starts()
        with started((), *inside, "echo ready; exec sleep 60") as (exec_, _):
            assert line_of(exec_.stdout) == "ready"
            assert it.line.asks("stop 60000 15") == "stopped"
            assert exec_.wait(PATIENCE) == -signal.SIGKILL
        # An orphan that it leaves is not left as a zombie.
        assert run(*inside, "(sleep 0.05 &); echo in").stdout == "in\n"
        wait_for(lambda: not descendants(it.pid))
        assert it.line.asks("stop 0 15") == "stopped"


@PLACES
@pytest.mark.parametrize(("ending", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_commands_own_end_is_the_containers(
    gate: Path, place: Place, agent: Agent, ending: str, code: int
) -> None:
    with warm(place, gate, agent, "sh", "-c", f"sleep 1 & {ending}") as it:
        assert it.line.asks("start").startswith("started ")
        assert it.ends() == code
        assert it.line.hears() == HUNG_UP


@PLACES
def test_command_that_cannot_be_executed_ends_the_container_as_in_init(
    gate: Path, place: Place, agent: Agent, tmp_path: Path
) -> None:
    message = tmp_path / "message"
    for name, code, reason in (
        ("/no/such", 127, "No such file or directory"),
        (str(tmp_path), 126, "Permission denied"),
    ):
        message.touch()
        line = (gate, "supervise", "-s", agent.path, "-m", message, "--", name)
        with started(place, *line) as (process, _):
            call = agent.answer()
            assert call.hears() == "hello 1 stopped"
            assert call.asks("start") == HUNG_UP
            assert process.wait(PATIENCE) == code
        assert message.read_text() == f"exec {name}: {reason}"


@PLACES
def test_last_order_during_a_stop_wins(gate: Path, place: Place, agent: Agent) -> None:
    with warm(place, gate, agent, *STUBBORN) as it:
        first = it.starts()
        it.line.says(ASK)
        assert it.printed() == "asked"
        it.line.says("start")
        it.line.says("stop 0 9")
        assert it.line.hears() == "stopped"
        assert it.line.is_silent(0.1)
        second = it.starts()
        it.line.says(ASK)
        assert it.printed() == "asked"
        it.line.says("stop 200 9")
        it.line.says("start")
        assert it.line.hears() == "stopped"
        third = int(it.line.hears().removeprefix("started "))
        assert it.printed() == "ready"
        assert len({first, second, third}) == 3


@PLACES
def test_grace_is_shortened_by_a_second_stop_and_never_made_longer(
    gate: Path, place: Place, agent: Agent
) -> None:
    with warm(place, gate, agent, *STUBBORN) as it:
        it.starts()
        it.line.says(ASK)
        assert it.printed() == "asked"
        asked = time.monotonic()
        it.line.says("stop 300 15")
        it.line.says("stop 50000 15")
        assert it.line.hears() == "stopped"
        assert 0.3 <= time.monotonic() - asked < 0.3 + AT_ONCE
        assert it.line.is_silent(0.1)


@PLACES
def test_stop_when_stopped_changes_nothing(gate: Path, place: Place, agent: Agent) -> None:
    with warm(place, gate, agent, *OBEDIENT) as it:
        for _ in range(2):
            assert it.line.asks("stop 86400000 64") == "stopped"
            assert it.line.asks("stop 0 1") == "stopped"
            it.starts()
            assert it.line.asks("stop 0 15") == "stopped"
        assert it.process.poll() is None


@PLACES
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH, signal.SIGRTMIN + 3]
)
def test_stopped_container_ends_with_0_at_any_images_stop_signal(
    gate: Path, place: Place, agent: Agent, number: int
) -> None:
    with warm(place, gate, agent, *OBEDIENT) as it:
        it.starts()
        assert it.line.asks("stop 0 15") == "stopped"
        os.kill(it.pid, signal.SIGCONT)
        assert it.line.asks("stop 0 15") == "stopped"
        os.kill(it.pid, number)
        assert it.ends() == 0


@PLACES
def test_signals_reach_the_command_while_it_runs(gate: Path, place: Place, agent: Agent) -> None:
    command = 'trap "echo asked" USR1; sleep 5 & echo ready; wait; exec sleep 60'
    with warm(place, gate, agent, "sh", "-c", command) as it:
        it.starts()
        os.kill(it.pid, signal.SIGUSR1)
        assert it.printed() == "asked"
        os.kill(it.pid, signal.SIGTERM)
        assert it.ends() == 128 + signal.SIGTERM


@PLACES
def test_sigterm_during_a_stop_ends_the_container_after_it(
    gate: Path, place: Place, agent: Agent
) -> None:
    with warm(place, gate, agent, *STUBBORN) as it:
        it.starts()
        it.line.says(ASK)
        assert it.printed() == "asked"
        os.kill(it.pid, signal.SIGTERM)
        it.line.says("stop 300 15")
        it.line.says("start")
        assert it.line.is_silent(0.1)
        assert it.line.hears() == "stopped"
        assert it.line.hears() == HUNG_UP
        assert it.ends() == 0


@PLACES
def test_command_inherits_nothing_of_the_gates(gate: Path, place: Place, agent: Agent) -> None:
    files = "import os; print('ready'); print(sorted(os.listdir('/proc/self/fd')), flush=True)"
    command = (sys.executable, "-c", f"{files}; import time; time.sleep(60)")
    bare = run(*place, sys.executable, "-c", files).stdout.splitlines()[1]
    with warm(place, gate, agent, *command) as it:
        it.starts()
        assert it.printed() == bare
        assert it.line.asks("stop 0 15") == "stopped"
        # Nor what comes along with an order.
        socket.send_fds(it.line.socket, [b"start"], [it.line.socket.fileno()])
        assert it.line.hears().startswith("started ")
        assert (it.printed(), it.printed()) == ("ready", bare)


def test_command_gets_its_environment_as_it_came_at_each_start(gate: Path, agent: Agent) -> None:
    # Without PATH, which is needed to find sh, and that sh must not see.
    bare = ("env", "-i", gate, "supervise", "-s", agent.path, "--")
    shown = "read all < /proc/$$/environ; echo [$all]; exec /bin/sleep 60"
    with started((), *bare, "sh", "-c", shown) as (process, _):
        call = agent.answer()
        assert call.hears() == "hello 1 stopped"
        for _ in range(2):
            assert call.asks("start").startswith("started ")
            assert line_of(process.stdout) == "[]"
            assert call.asks("stop 0 15") == "stopped"


@PLACES
def test_stopped_gate_does_not_wake_up(gate: Path, place: Place, agent: Agent) -> None:
    def work(pid: int) -> tuple[list[str], list[str]]:
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        return ticks, [line for line in status if "ctxt_switches" in line]

    with warm(place, gate, agent, *OBEDIENT) as it:
        it.starts()
        assert it.line.asks("stop 0 15") == "stopped"
        wait_for(lambda: "S (sleeping)" in Path(f"/proc/{it.pid}/status").read_text())
        before = work(it.pid)
        assert it.line.is_silent(1.0)
        assert work(it.pid) == before
        assert it.line.asks("stop 0 15") == "stopped"
