"""The gate, compiled once a session by the Makefile that Dockerfile.agent uses, and an agent."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.gate.agent_socket import Agent
from tests.gate.told import Told

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).resolve().parents[2] / "nodeagent" / "gate"


@pytest.fixture(scope="session")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The binary as in the image; with glibc where there is no musl."""
    return build(tmp_path_factory.mktemp("gate") / "gate")


@pytest.fixture(scope="session")
def told_gate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same, but a test can say how the command is; and where to say it."""
    folder = tmp_path_factory.mktemp("told-gate")
    state = folder / "state"
    return build(folder / "gate", f"STATE_FILE={state}"), state


@pytest.fixture
def told(told_gate: tuple[Path, Path]) -> Told:
    """A gate that has not been told anything."""
    told = Told(*told_gate)
    told.state.unlink(missing_ok=True)
    return told


def build(binary: Path, *variables: str) -> Path:
    compiler = [] if shutil.which("musl-gcc") else ["CC=gcc"]
    subprocess.run(["make", "-s", "-C", SOURCE, f"O={binary}", *variables, *compiler], check=True)
    return binary


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """An agent that listens."""
    agent = Agent(tmp_path / "agent.sock")
    yield agent
    agent.go_away()
