"""The gate, compiled once a session by the Makefile that Dockerfile.agent uses, and an agent."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.gate.agent_socket import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).resolve().parents[2] / "nodeagent" / "gate"


@pytest.fixture(scope="session")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The binary as in the image; with glibc where there is no musl."""
    binary = tmp_path_factory.mktemp("gate") / "gate"
    compiler = [] if shutil.which("musl-gcc") else ["CC=gcc"]
    subprocess.run(["make", "-s", "-C", SOURCE, f"O={binary}", *compiler], check=True)
    return binary


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """An agent that listens."""
    agent = Agent(tmp_path / "agent.sock")
    yield agent
    agent.go_away()
