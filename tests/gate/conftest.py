"""The gate, compiled once a session by the Makefile that Dockerfile.agent uses."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "nodeagent" / "gate"


@pytest.fixture(scope="session")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The binary as in the image; with glibc where there is no musl."""
    binary = tmp_path_factory.mktemp("gate") / "gate"
    compiler = [] if shutil.which("musl-gcc") else ["CC=gcc"]
    subprocess.run(["make", "-s", "-C", SOURCE, f"O={binary}", *compiler], check=True)
    return binary
