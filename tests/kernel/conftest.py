"""Real mounts in a mount namespace of our own: nothing that a test mounts is seen outside of it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nodeagent import linux, mountinfo
from nodeagent.errors import MountError
from tests.kernel.processes import Rooted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CLONE_NEWNS = 0x00020000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.kernel)
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture(scope="session", autouse=True)
def _private_namespace() -> None:
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    # Slave, not private: later tests in this process still see what the machine mounts.
    subprocess.run(["mount", "--make-rslave", "/"], check=True)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder whose mounts are gone after the test."""
    yield tmp_path
    for mount in reversed(mountinfo.read()):
        if Path(mount.target).is_relative_to(tmp_path):
            with suppress(MountError):
                linux.umount2(Path(mount.target))
    subprocess.run(["chattr", "-R", "-i", "-a", str(tmp_path)], check=False, capture_output=True)


@pytest.fixture
def rooted() -> Iterator[Callable[[Path], Rooted]]:
    """Start processes that have a folder as their root; they end with the test."""
    started: list[Rooted] = []

    def start(root: Path, *, own_namespace: bool = False) -> Rooted:
        made = Rooted(root, sys.executable, own_namespace=own_namespace)
        started.append(made)
        return made

    yield start
    for process in started:
        process.end()
