"""Makes every generated file under proto/; `python proto/generate.py [folder]`.

The controller and the agent import what it writes; a test runs it elsewhere and compares.
"""

from __future__ import annotations

import keyword
import shutil
import sys
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent


def generate(out: Path) -> list[Path]:
    """Compile our own proto with its service, and the vendored ones as messages only."""
    vendored = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "proto" / "vendor").glob("*.proto"))
    include = [f"-I{ROOT}", f"-I{Path(protoc.__file__).parent / '_proto'}"]
    messages = [f"--python_out={out}", f"--pyi_out={out}"]
    service = [f"--grpc_python_out={out}"]
    for arguments in ([*messages, *service, "proto/nodeagent.proto"], [*messages, *vendored]):
        if protoc.main(["protoc", *include, *arguments]) != 0:
            message = f"protoc failed on {arguments[-1]}"
            raise SystemExit(message)
    made = sorted((out / "proto").rglob("*_pb2*.py*"))
    for stub in (path for path in made if path.suffix == ".pyi"):
        _drop_keywords(stub)
    return made


def _drop_keywords(stub: Path) -> None:
    """Take names out that Python cannot spell (an enum's `None`) and protoc writes."""
    lines = stub.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not keyword.iskeyword(line.strip().partition(":")[0])]
    if kept != lines:
        stub.write_text("".join(kept))


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    for path in generate(target):
        sys.stdout.write(f"{path}\n")
    if target != ROOT:
        shutil.copy(ROOT / "proto" / "__init__.py", target / "proto" / "__init__.py")
