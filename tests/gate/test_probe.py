"""When a probe or a hook is tried at all, and what its failure counts for."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.gate.places import UNSHARE
from tests.gate.processes import AT_ONCE, run, wait_for
from tests.gate.servers import HERE, nobody, silent, web
from tests.gate.told import DOWN, UP, Told

if TYPE_CHECKING:
    from pathlib import Path

HOOKS = ("post-start", "pre-stop")
FAIL = ("sh", "-c", "echo bad; exit 3")
MALFORMED = [
    *(b"", b"\n", b"stopped", b"stopped\n", b"stopped \n", b"stopped -1\n", b"stopped 1x\n"),
    *(b"stopped  1\n", b" stopped 1\n", b"STOPPED 1\n", b"stopped 1\n\n", b"stopped 1\n#"),
    *(b"stopped\0 1\n", b"stopped 1\0\n", b"stopped 99999999999999999999\n", b"\xff" * 4096),
    *(b"running 1 2\n", b"halted 1\n", b"stoppedfrozen 1\n"),
]


@pytest.mark.parametrize("word", DOWN)
def test_command_that_is_stopped_is_alive_and_not_ready(told: Told, word: str) -> None:
    told.that_it_is(word)
    for attempt in (f"tcp {nobody()}", f"http {nobody()} /", f"grpc {nobody()}", "exec -- false"):
        done = told.run(f"probe live {attempt}")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        done = told.run(f"probe ready {attempt}")
        assert (done.returncode, done.stdout, done.stderr) == (1, f"{word}\n", "")


@pytest.mark.parametrize("word", UP)
@pytest.mark.parametrize("which", ["live", "ready"])
def test_command_that_runs_is_probed(told: Told, word: str, which: str) -> None:
    told.that_it_is(word)
    for ending in ("", "\n"):
        told.says(told.state.read_bytes().strip() + ending.encode())
        done = told.run(f"probe {which} exec --", *FAIL)
        assert (done.returncode, done.stdout) == (3, "bad\n")
        assert told.run(f"probe {which} tcp {nobody()} -h {HERE}").returncode == 1
        with silent() as port:
            assert told.run(f"probe {which} tcp {port} -h {HERE}").returncode == 0


@pytest.mark.parametrize("line", MALFORMED)
def test_state_that_says_nothing_means_running(told: Told, line: bytes) -> None:
    told.says(line)
    assert told.run("probe -b 999999999 live exec --", *FAIL).returncode == 3
    assert told.run("probe ready exec -- true").returncode == 0
    assert told.run("hook pre-stop exec --", *FAIL).returncode == 3


def test_state_that_is_absent_means_running(told: Told, gate: Path) -> None:
    for binary in (told.gate, gate):
        assert run(binary, "probe", "-b", "999999", "live", "exec", "--", *FAIL).returncode == 3
    told.state.mkdir()
    try:
        assert told.run("probe live exec --", *FAIL).returncode == 3
    finally:
        told.state.rmdir()


def test_state_that_is_a_link_or_a_pipe_is_not_believed(told: Told, tmp_path: Path) -> None:
    (tmp_path / "stopped").write_text("stopped 1\n")
    told.state.symlink_to(tmp_path / "stopped")
    assert told.run("probe live exec --", *FAIL).returncode == 3
    told.state.unlink()
    os.mkfifo(told.state)
    assert told.run("probe live exec --", *FAIL).returncode == 3


def test_failure_is_excused_while_the_start_is_young(told: Told) -> None:
    told.that_it_is("running", started_ms_ago=3000)
    port = nobody()
    for attempt in ("exec -- false", f"tcp {port} -h {HERE}", f"http {port} / -h {HERE}"):
        assert told.run(f"probe -b 60000 live {attempt}").returncode == 0
        assert told.run(f"probe -b 2000 live {attempt}").returncode == 1
        assert told.run(f"probe live {attempt}").returncode == 1
        # Not being ready needs no excuse.
        assert told.run(f"probe -b 60000 ready {attempt}").returncode == 1


@pytest.mark.parametrize("line", [b"running 0\n", b"running 999999999999999\n"])
def test_start_that_never_was_or_is_to_come_excuses_nothing(told: Told, line: bytes) -> None:
    told.says(line)
    assert told.run("probe -b 2678400000 live exec -- false").returncode == 1


def test_failure_during_which_the_command_was_stopped_does_not_count(told: Told) -> None:
    told.that_it_is("running")
    with silent() as port:
        line = (told.gate, "probe", "-t", "600", "live", "http", str(port), "/", "-h", HERE)
        with subprocess.Popen(line, stdout=subprocess.PIPE) as probe:
            wait_for(lambda: connected(port))
            told.that_it_is("stopping")
            assert probe.wait() == 0


def connected(port: int) -> bool:
    """Somebody has come to this port, as /proc/net/tcp shows it."""
    with open("/proc/net/tcp") as table:  # noqa: PTH123 - a file of the kernel, not of a folder
        return any(f":{port:04X} " in line and line.split()[3] == "01" for line in table)


def test_exec_takes_the_place_of_the_gate(told: Told) -> None:
    told.that_it_is("running")
    for line in ("probe live", "probe -b 1 live", "probe ready", "hook pre-stop"):
        words = [str(told.gate), *line.split(), "exec", "--", "sh", "-c", "echo $$"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as it:
            assert it.communicate()[0] == f"{it.pid}\n"


@pytest.mark.parametrize("budget", ["0", "60000"])
def test_exit_code_of_an_exec_probe_is_its_own(told: Told, budget: str) -> None:
    told.that_it_is("running", started_ms_ago=10)
    for code in (0, 1, 7, 126, 255):
        excused = told.run(f"probe -b {budget} live exec -- sh -c", f"exit {code}")
        assert excused.returncode == (0 if budget != "0" else code)
        assert told.run("probe ready exec -- sh -c", f"exit {code}").returncode == code


def test_missing_command_is_127_and_one_that_cannot_run_is_126(told: Told, tmp_path: Path) -> None:
    told.that_it_is("running")
    plain = tmp_path / "plain"
    plain.write_text("text")
    for line in ("probe live exec --", "probe ready exec --", "hook post-start exec --"):
        done = told.run(line, "no-such-command")
        assert (
            done.stderr == "stoppablecontainer: exec no-such-command: No such file or directory\n"
        )
        assert done.returncode == 127
        assert told.run(line, plain).returncode == 126


def test_exec_searches_a_default_path_that_the_command_does_not_see(told: Told) -> None:
    told.that_it_is("running")
    assert run(told.gate, "probe", "ready", "exec", "--", "env", env={"A": "b"}).stdout == "A=b\n"


def test_exec_that_hangs_within_the_budget_is_ended_and_excused(told: Told, tmp_path: Path) -> None:
    told.that_it_is("starting", started_ms_ago=10)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    began = time.monotonic()
    hang = f"exec 3> {fifo}; sleep infinity & wait"
    done = told.run("probe -b 60000 -t 100 live exec -- sh -c", hang)
    assert time.monotonic() - began < AT_ONCE
    assert (done.returncode, done.stdout) == (0, "exec sh: no end in time\n")
    # End of file: its child is gone as well.
    wait_for(lambda: os.read(reader, 1) == b"")
    os.close(reader)


@pytest.mark.parametrize("which", HOOKS)
def test_hooks_run_once_the_command_does_and_not_when_it_is_stopped(told: Told, which: str) -> None:
    with web() as server:
        http = f"http {server.port} /200 -h {HERE}"
        for word in DOWN:
            told.that_it_is(word)
            began = time.monotonic()
            for attempt in (http, "exec -- false", "sleep 3600"):
                assert told.run(f"hook {which} {attempt}").returncode == 0
            assert time.monotonic() - began < AT_ONCE
            assert not server.paths
        for word in UP:
            told.that_it_is(word)
            assert told.run(f"hook {which} {http}").returncode == 0
            assert server.paths.pop() == "/200"
            assert told.run(f"hook {which} exec -- sh -c", "exit 9").returncode == 9


def test_hook_sleeps_as_long_as_it_is_told(told: Told) -> None:
    told.that_it_is("running")
    began = time.monotonic()
    assert told.run("hook pre-stop sleep 0").returncode == 0
    assert time.monotonic() - began < 0.9
    assert told.run("hook pre-stop sleep 1").returncode == 0
    assert time.monotonic() - began >= 1


def test_hook_takes_any_answer_for_success_as_the_kubelet_does(told: Told) -> None:
    told.that_it_is("running")
    with web() as server:
        assert told.run(f"hook post-start http {server.port} /500 -h {HERE}").returncode == 0
        assert ("User-Agent", "kube-lifecycle/stoppablecontainer") in server.headers[0]
    assert told.run(f"hook post-start http {nobody()} / -h {HERE}").returncode == 1


@pytest.mark.parametrize(
    "line",
    [
        *("probe", "probe live", "probe dead tcp 80", "probe live nonsense 80", "probe live exec"),
        *("probe live exec --", "probe live exec true", "probe live sleep 1", "probe live tcp"),
        *("probe live tcp 0", "probe live tcp 65536", "probe live tcp 80x", "probe live tcp http"),
        *("probe live tcp 80 -h", "probe live tcp 80 -h localhost", "probe live tcp 80 -h 1.2.3"),
        *("probe live tcp 80 x", "probe live tcp 80 -H a:b", "probe live http 80"),
        *("probe live http 80 x", "probe live http 80 /\x01", "probe live http 80 /\u00e4"),
        *(
            "probe live http 80 / -H",
            "probe live http 80 / -H nocolon",
            "probe live http 80 / -H :",
        ),
        *("probe live http 80 / -H a:b -h 127.0.0.1", "probe live http 80 / x"),
        *("probe -t 0 live tcp 80", "probe -t 86400001 live tcp 80", "probe -t live tcp 80"),
        *("probe -b x live tcp 80", "probe -b 2678400001 live tcp 80", "probe -b -1 live tcp 80"),
        *("probe live grpc 80 a b", f"probe live grpc 80 {'x' * 1025}"),
        *("hook", "hook pre-stop", "hook pre-start sleep 1", "hook pre-stop tcp 80"),
        *("hook pre-stop grpc 80", "hook pre-stop sleep", "hook pre-stop sleep -1"),
        *(
            "hook pre-stop sleep 1.5",
            "hook pre-stop sleep 2147483648",
            "hook -t 1 pre-stop sleep 1",
        ),
    ],
)
def test_wrong_arguments_are_refused_with_the_usage(told: Told, line: str) -> None:
    for word in ("running", "stopped"):
        told.that_it_is(word)
        done = told.run(line)
        assert (done.returncode, done.stdout) == (125, "")
        assert done.stderr.startswith("usage: gate ")
        assert done.stderr.endswith("sleep SECONDS\n")


def test_header_cannot_begin_another_line(told: Told) -> None:
    for header in ("A: b\r\nC: d", "A: b\nC: d", "A b: c", "A\t: c", "\u00e4: b", "A: \x7f"):
        assert told.run("probe live http 80 / -H", header).returncode == 125


@pytest.mark.parametrize("own", ["10.9.8.7", "fd00::7"])
def test_without_an_address_the_pods_own_is_probed(told: Told, own: str) -> None:
    told.that_it_is("running")
    assert probe_in_a_pod(told, own, listen_on=own) == 0
    assert probe_in_a_pod(told, own, listen_on="127.0.0.1") == 1


def probe_in_a_pod(told: Told, own: str, *, listen_on: str) -> int:
    family = "AF_INET6" if ":" in own else "AF_INET"
    if ":" not in listen_on:
        family = "AF_INET"
    serve = (
        "import socket, subprocess, sys\n"
        f"with socket.create_server(({listen_on!r}, 80), family=socket.{family}):\n"
        "    sys.exit(subprocess.run(sys.argv[1:]).returncode)\n"
    )
    size = "128" if ":" in own else "32"
    network = (
        f"ip link set lo up && ip addr add {own}/{size} dev lo nodad && "
        f'ip {"-6" if ":" in own else "-4"} route add default dev lo src {own} && exec "$@"'
    )
    words = ("sh", "-c", network, "sh", "python3", "-c", serve)
    probe = (told.gate, "probe", "live", "tcp", "80")
    return run(*UNSHARE[:-3], "--net", *words, *probe).returncode
