"""Fetches matplotlib when a picture is drawn; called by `__main__`.

It has a folder of its own, so that the environment of the tests neither waits for it nor sees it.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib

from deploy.local.cache import building
from deploy.local.paths import CACHE, REPOSITORY


def ensure() -> None:
    """Make the `bench` extra importable; the folder is keyed by what it holds."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = project["optional-dependencies"]["bench"]
    key = hashlib.sha256(" ".join([*wanted, sys.version]).encode()).hexdigest()[:16]
    folder = CACHE / "bench" / key
    with building("bench"):
        if not (folder / ".complete").exists():
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade"]
            subprocess.run([*pip, "--target", str(folder), *wanted], check=True)
            (folder / ".complete").touch()
    # Last, so that nothing in it stands before what the environment has.
    sys.path.append(str(folder))
