"""A container's cgroup on this machine: ending what is beside the gate, freezing, thawing."""

from __future__ import annotations

import os
import select
import subprocess
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nodeagent import cgroups
from nodeagent.errors import MountError
from nodeagent.kernel import Linux
from tests.fakes.kernel import FakeKernel
from tests.gate import conftest as gates
from tests.gate.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nodeagent.doors import Kernel

gate = gates.gate

FREEZER, UNIFIED = Path("/sys/fs/cgroup/freezer"), Path("/sys/fs/cgroup")


class Container:
    """Processes in a cgroup like a container's."""

    def __init__(self, first: Path) -> None:
        self.top = FREEZER if FREEZER.is_dir() else UNIFIED
        self.pod = self.top / f"stoppable-test-{os.getpid()}/pod{uuid.uuid4()}"
        self.folder = self.pod / ("c" * 64)
        self.folder.mkdir(parents=True)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.pid = self.spawn(str(first), "hold")

    def spawn(self, *command: str, folder: Path | None = None) -> int:
        procs = (folder or self.folder) / "cgroup.procs"
        line = ["sh", "-c", f'echo $$ > {procs}; exec "$@"', "sh", *command]
        self.processes.append(subprocess.Popen(line, stdout=subprocess.PIPE))
        pid = self.processes[-1].pid
        name = "sleep" if "sleep" in command else Path(command[0]).name
        wait_for(lambda: Path(f"/proc/{pid}/comm").read_text() == f"{name}\n")
        return pid

    def close(self) -> None:
        with suppress(MountError):
            cgroups.thaw(self.pid)
        for process in self.processes:
            process.kill()
            process.communicate()
        for folder in sorted(self.pod.parent.rglob("*"), reverse=True):
            if folder.is_dir():
                folder.rmdir()
        self.pod.parent.rmdir()


@pytest.fixture
def container(gate: Path) -> Iterator[Container]:
    made = Container(gate)
    yield made
    made.close()


def test_all_but_the_gate_is_killed_also_in_cgroups_below(container: Container) -> None:
    below = container.folder / "below"
    below.mkdir()
    left = [
        container.spawn("sleep", "60"),
        container.spawn("setsid", "sleep", "60"),
        container.spawn("sleep", "60", folder=below),
    ]
    assert cgroups.beside(container.pid) == tuple(sorted(left))
    assert cgroups.kill_beside(container.pid) == 3
    for process in container.processes[1:]:
        assert process.wait(5) == -9
    assert cgroups.kill_beside(container.pid) == 0
    assert container.processes[0].poll() is None


def test_a_probe_through_the_gate_is_not_of_the_user_s(container: Container, gate: Path) -> None:
    probe = container.spawn(str(gate), "hold")
    assert cgroups.beside(container.pid) == ()
    assert cgroups.kill_beside(container.pid) == 0
    assert Path(f"/proc/{probe}").exists()


def test_a_frozen_container_does_nothing_until_it_is_thawed(container: Container) -> None:
    container.spawn("bash", "-c", "i=0; while :; do i=$((i+1)); echo $i; done")
    assert container.processes[1].stdout is not None
    output = container.processes[1].stdout.fileno()
    assert os.read(output, 10)
    assert not cgroups.is_frozen(container.pid)
    cgroups.freeze(container.pid)
    assert cgroups.is_frozen(container.pid)
    cgroups.freeze(container.pid)
    os.set_blocking(output, False)
    with suppress(BlockingIOError):
        while os.read(output, 65536):
            pass
    # There is room in the pipe now, and nobody who fills it.
    assert not select.select([output], [], [], 0.1)[0]
    cgroups.thaw(container.pid)
    assert not cgroups.is_frozen(container.pid)
    assert select.select([output], [], [], 5)[0]
    cgroups.thaw(container.pid)


def test_a_process_that_is_in_no_container_is_left_alone(container: Container) -> None:
    before = len(cgroups.beside(container.pid))
    assert before == 0
    for act in (cgroups.beside, cgroups.kill_beside, cgroups.freeze, cgroups.thaw):
        for pid in (os.getpid(), 1, 2**22):
            with pytest.raises(MountError, match="find the container's cgroup"):
                act(pid)
    assert not cgroups.is_frozen(os.getpid())


@pytest.mark.parametrize("make", [Linux, FakeKernel], ids=["Linux", "FakeKernel"])
def test_the_fake_freezes_as_linux_does(container: Container, make: type[Kernel]) -> None:
    kernel = make()
    pid = container.pid
    assert not kernel.is_frozen(pid)
    kernel.freeze(pid)
    kernel.freeze(pid)
    assert kernel.is_frozen(pid)
    kernel.thaw(pid)
    kernel.thaw(pid)
    assert not kernel.is_frozen(pid)
    assert kernel.beside(pid) == ()
    assert kernel.kill_beside(pid) == 0


def test_a_process_s_beginning_is_known_to_10_ms(container: Container) -> None:
    kernel = Linux()
    pid = container.spawn("sleep", "60")
    made = Path(f"/proc/{pid}").stat().st_ctime_ns // 1000
    assert abs(kernel.began(pid) - made) < 1_000_000
    assert kernel.began(2**22) == 0
    kernel.kill(pid)
    assert container.processes[1].wait(5) == -9
    kernel.kill(2**22)
