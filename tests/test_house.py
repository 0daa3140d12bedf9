"""The house rules as tests, so that `pytest` is the one command: linters, types, sizes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


def tracked(*patterns: str) -> list[Path]:
    """The files that git tracks or would track."""
    found = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in found.stdout.splitlines() if (ROOT / line).is_file()]


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy", "."],
        ["lint-imports"],
    ],
    ids=" ".join,
)
def test_linter_finds_nothing(command: list[str]) -> None:
    done = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_files_are_small_enough_to_hold() -> None:
    """House rule 10: no file of ours is longer than 300 lines."""
    sources = [
        path
        for path in tracked("*.py", "*.c")
        if "_pb2" not in path.name and "vendor" not in path.parts
    ]
    assert sources
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sources
        if (lines := len(path.read_text().splitlines())) > 300
    }
    assert not long


def test_no_grab_bag_modules() -> None:
    banned = {"util", "utils", "helper", "helpers", "common", "base", "shared", "manager"}
    bad = [str(path) for path in tracked("*.py") if path.stem in banned or banned & set(path.parts)]
    assert not bad


def test_readme_shows_the_two_commands() -> None:
    first_screen = (ROOT / "README.md").read_text().splitlines()[:40]
    for command in ("make demo", "make test"):
        assert any(line.startswith(command) for line in first_screen), command
