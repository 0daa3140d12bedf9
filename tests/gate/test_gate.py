"""The gate as the kernel sees it: exit codes, signals, orphans, an otherwise empty root."""

from __future__ import annotations

import os
import select
import shutil
import signal
import struct
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tests.gate.places import AS_PID_1, PATIENCE, PLACES, UNSHARE, Place
from tests.gate.processes import AT_ONCE, line_of, run, started, wait_until_blocked

REPOSITORY = Path(__file__).resolve().parents[2]
PT_INTERP = 3

# Says which signals arrive, one number a line, until SIGTERM.
LISTENER = """
import signal
every = set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}
signal.pthread_sigmask(signal.SIG_BLOCK, every)
print("ready", flush=True)
while (got := signal.sigwait(every)) != signal.SIGTERM:
    print(int(got), flush=True)
"""

# Leaves 50 orphans to the gate, ends them all at once, counts those that it does not reap.
ORPHANS = """
import os, pathlib, subprocess, time
ours, theirs = os.pipe()
os.dup2(ours, 9)
loop = "i=0; while [ $i -lt 50 ]; do (cat <&9 &); i=$((i+1)); done"
subprocess.run(["sh", "-c", loop], pass_fds=[9])
def orphans():
    found = 0
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        found += parent == os.getppid() and stat.parent.name != str(os.getpid())
    return found
def wait_for(number):
    deadline = time.monotonic() + 8
    while orphans() != number and time.monotonic() < deadline:
        time.sleep(0.02)
    print(orphans())
wait_for(50)
os.close(theirs)
wait_for(0)
"""


def test_is_one_small_static_file(gate: Path) -> None:
    image = gate.read_bytes()
    (table,) = struct.unpack_from("<Q", image, 32)
    size, count = struct.unpack_from("<HH", image, 54)
    types = [struct.unpack_from("<I", image, table + size * i)[0] for i in range(count)]
    assert PT_INTERP not in types
    assert len(image) < 100 * 1024 or shutil.which("musl-gcc") is None


def test_version_is_the_products(gate: Path) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert run(gate, "version").stdout == f"gate {project['version']}\n"


@pytest.mark.parametrize(
    "line",
    [
        *("", "nonsense", "hold x", "version x", "init", "init --", "init sh", "init -m x --"),
        *("init -s x -- sh", "supervise", "supervise -- sh", "supervise -s x -m y -- "),
        *("supervise -s x", "supervise -s x sh", "supervise -m x -s y -- sh"),
    ],
)
def test_wrong_arguments_are_refused_with_the_usage(gate: Path, line: str) -> None:
    done = run(gate, *line.split())
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith("usage: gate ")


@PLACES
@pytest.mark.parametrize("code", [0, 1, 7, 126, 127, 255])
def test_exit_code_of_the_command_is_passed_on(gate: Path, place: Place, code: int) -> None:
    done = run(*place, gate, "init", "--", "sh", "-c", f"exit {code}")
    assert (done.returncode, done.stderr) == (code, "")


@PLACES
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_command_ended_by_a_signal_gives_128_and_its_number(
    gate: Path, place: Place, number: int
) -> None:
    done = run(*place, gate, "init", "--", "sh", "-c", f"kill -{number:d} $$")
    assert done.returncode == 128 + number


@PLACES
def test_sigterm_ends_a_command_that_has_no_handler_at_once(gate: Path, place: Place) -> None:
    command = ("sh", "-c", "echo ready; exec sleep infinity")
    with started(place, gate, "init", "--", *command) as (process, pid):
        assert line_of(process.stdout) == "ready"
        asked = time.monotonic()
        os.kill(pid, signal.SIGTERM)
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM
        assert time.monotonic() - asked < AT_ONCE


@PLACES
def test_every_signal_reaches_the_command(gate: Path, place: Place) -> None:
    unsent = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGTERM}
    numbers = sorted(int(number) for number in signal.valid_signals() - unsent)
    with started(place, gate, "init", "--", sys.executable, "-c", LISTENER) as (process, pid):
        assert line_of(process.stdout) == "ready"
        for number in numbers:
            os.kill(pid, number)
            assert line_of(process.stdout) == str(number)
        os.kill(pid, signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


def test_command_starts_with_the_signal_state_that_the_gate_was_given(gate: Path) -> None:
    def states(*command: str | Path) -> str:
        return run(*command, "grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status").stdout

    blocked = ("env", "--block-signal=USR1", "--ignore-signal=CHLD", "--ignore-signal=HUP")
    assert states(*blocked, gate, "init", "--") == states(*blocked)
    assert states(gate, "init", "--") == states("env")


def test_an_ignored_sigchld_does_not_lose_the_exit_code(gate: Path) -> None:
    done = run("env", "--ignore-signal=CHLD", gate, "init", "--", "sh", "-c", "exit 9")
    assert done.returncode == 9


@PLACES
def test_fifty_orphans_leave_no_zombie(gate: Path, place: Place) -> None:
    done = run(*place, gate, "init", "--", sys.executable, "-c", ORPHANS)
    assert (done.stdout, done.stderr) == ("50\n0\n", "")


def test_processes_that_outlive_the_command_end_with_pid_1(gate: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    done = run(
        *AS_PID_1, gate, "init", "--", "sh", "-c", f"exec 3> {fifo}; sleep infinity & exit 3"
    )
    assert done.returncode == 3
    # End of file: the last writer is gone.
    assert select.select([reader], [], [], PATIENCE)[0]
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_missing_command_is_127_and_one_line(gate: Path) -> None:
    for name in ("no-such-command", "/no/such/command", "/etc/passwd/x"):
        done = run(gate, "init", "--", name)
        reason = "Not a directory" if "passwd" in name else "No such file or directory"
        assert done.stderr == f"stoppablecontainer: exec {name}: {reason}\n"
        assert (done.returncode, done.stdout) == (127, "")


def test_command_that_cannot_be_executed_is_126(gate: Path, tmp_path: Path) -> None:
    plain, garbage = tmp_path / "plain", tmp_path / "garbage"
    plain.write_text("text")
    garbage.write_bytes(b"\x00garbage")
    garbage.chmod(0o755)
    for path, reason in (
        (plain, "Permission denied"),
        (tmp_path, "Permission denied"),
        (garbage, "Exec format error"),
    ):
        done = run(gate, "init", "--", path)
        assert done.stderr == f"stoppablecontainer: exec {path}: {reason}\n"
        assert done.returncode == 126


def test_endless_name_is_cut_in_the_message(gate: Path) -> None:
    done = run(gate, "init", "--", "/" + "x" * 100_000)
    assert done.returncode == 126
    assert len(done.stderr) < 400


def test_search_uses_path_and_a_default_one_when_there_is_none(gate: Path, tmp_path: Path) -> None:
    mine = tmp_path / "only-here"
    mine.write_text("#!/bin/sh\necho mine\n")
    mine.chmod(0o755)
    assert run(gate, "init", "--", "only-here", env={"PATH": str(tmp_path)}).stdout == "mine\n"
    assert run(gate, "init", "--", "only-here", env={}).returncode == 127
    # The search must not leave a PATH behind that the command was not given.
    assert run(gate, "init", "--", "env", env={"A": "b"}).stdout == "A=b\n"


@PLACES
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH, signal.SIGRTMIN + 3]
)
def test_hold_ends_with_0_at_any_images_stop_signal(gate: Path, place: Place, number: int) -> None:
    with started(place, gate, "hold") as (process, pid):
        wait_until_blocked(pid)
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, number)
        assert process.wait(PATIENCE) == 0


def test_hold_reaps_as_pid_1(gate: Path) -> None:
    with started(AS_PID_1, gate, "hold") as (process, pid):
        wait_until_blocked(pid)
        orphan = "(sleep 0.05 & echo $!)"
        inside = ("nsenter", "--target", str(pid), "--pid", "--mount")
        number = run(*inside, "sh", "-c", orphan).stdout.strip()
        gone = f"until [ ! -e /proc/{number} ]; do sleep 0.02; done"
        assert run(*inside, "sh", "-c", gone).returncode == 0
        assert process.poll() is None


def test_runs_where_there_is_nothing_but_one_static_binary(gate: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("gate", "bin/app"):
        shutil.copy(gate, tmp_path / name)
    inside = (*UNSHARE, f"--root={tmp_path}", "/gate", "init", "--")
    assert run(*inside, "/bin/app", "version").stdout.startswith("gate ")
    assert run(*inside, "app", "nonsense", env={"PATH": os.environ["PATH"]}).returncode == 125
    assert run(*inside, "app", "version", env={}).stdout.startswith("gate ")
    assert run(*inside, "sh").returncode == 127


def test_why_the_command_did_not_start_is_left_where_kubernetes_looks(
    gate: Path, tmp_path: Path
) -> None:
    message = tmp_path / "termination-log"
    message.write_text("")
    done = run(gate, "init", "-m", message, "--", "/no/such/program")
    assert done.returncode == 127
    assert message.read_text() == "exec /no/such/program: No such file or directory"
    link = tmp_path / "link"
    victim = tmp_path / "victim"
    victim.write_text("kept")
    link.symlink_to(victim)
    assert run(gate, "init", "-m", link, "--", "/no/such/program").returncode == 127
    assert victim.read_text() == "kept"
