"""Makes the virtual environment that everything else runs in; the standard library only.

Our own packages are not installed: they are imported from the repository's root.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

from deploy.local import debian
from deploy.local.cache import building
from deploy.local.paths import CACHE, REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

EXTRAS = ("controller", "agent", "cli", "dev")


def location() -> Path:
    """Keyed by what is installed and by the interpreter that it is built on."""
    wanted = requirements((REPOSITORY / "pyproject.toml").read_text())
    text = " ".join([*wanted, sys.version, sys.base_prefix])
    return CACHE / "venv" / hashlib.sha256(text.encode()).hexdigest()[:16]


def requirements(pyproject: str) -> list[str]:
    """The dependencies of the project and of its extras, without the project itself."""
    project = tomllib.loads(pyproject)["project"]
    optional = project["optional-dependencies"]
    listed = list(project.get("dependencies", []))
    for extra in EXTRAS:
        listed += optional[extra]
    return list(dict.fromkeys(listed))


def ensure() -> Path:
    """Build the environment unless it is there; a half-built one has no stamp and is replaced."""
    folder = location()
    with building("venv"):
        if not (folder / ".complete").exists():
            _build(folder)
    return folder


def _build(folder: Path) -> None:
    debian.ensure_venv_module()
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    print(f"building the virtual environment {folder}", flush=True)
    # Scripts in bin/ carry the absolute path, so it cannot be built elsewhere and renamed.
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    wanted = requirements((REPOSITORY / "pyproject.toml").read_text())
    subprocess.run([str(folder / "bin" / "pip"), "install", "--quiet", *wanted], check=True)
    (folder / ".complete").touch()


def main() -> None:
    """Build it, or only say where it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", action="store_true", help="print the path, build nothing")
    if parser.parse_args().path:
        print(location())
        return
    folder = ensure()
    print(folder)


if __name__ == "__main__":
    main()
