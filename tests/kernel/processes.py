"""A real process whose root is a folder, as a container's is."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_CODE = """
import ctypes, os, sys
if sys.argv[2] == "own":
    assert ctypes.CDLL(None).unshare(0x00020000) == 0
    # As a container has it: a private copy, which the node's umount does not reach.
    assert ctypes.CDLL(None).mount(None, b"/", None, 0x4000 | 0x40000, None) == 0
os.chroot(sys.argv[1])
os.chdir("/")
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.read()
"""


class Rooted:
    """Lives until end() is called."""

    def __init__(self, root: Path, python: str, *, own_namespace: bool) -> None:
        self._process = subprocess.Popen(
            [python, "-c", _CODE, str(root), "own" if own_namespace else "shared"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        self.pid = self._process.pid

    def end(self) -> None:
        """Kill and reap it; fine when it has ended."""
        self._process.kill()
        self._process.communicate()
