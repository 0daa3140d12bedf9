"""The committed protocol code, vendored protos included, is what generate.py makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_generated_code_is_current(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "proto" / "generate.py", tmp_path], check=True)
    made = {p.relative_to(tmp_path): p.read_text() for p in tmp_path.rglob("*_pb2*.py*")}
    committed = {p.relative_to(ROOT): p.read_text() for p in (ROOT / "proto").rglob("*_pb2*.py*")}
    assert len(made) > 20
    assert made == {path: text for path, text in committed.items() if path.suffix != ".pyc"}
