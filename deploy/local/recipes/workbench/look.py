"""Prints all that lstat, listxattr and the content say of trees, as JSON by path.

Runs inside of a container: `look TREE...`.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

END = 1 << 20


def attributes(path: Path) -> dict[str, str]:
    """All extended attributes, in hexadecimal."""
    names = os.listxattr(path, follow_symlinks=False)
    return {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in names}


def digest(path: Path, size: int) -> str:
    """Of a long file only its ends, so that looking at it stays cheap."""
    with path.open("rb") as file:
        start = file.read(END)
        file.seek(max(0, size - END))
        return hashlib.sha256(start + file.read()).hexdigest()


def look(path: Path) -> dict[str, Any]:
    """Everything but what is the file system's own business: a folder's size and links."""
    seen = path.lstat()
    said: dict[str, Any] = {
        "mode": oct(seen.st_mode),
        "uid": seen.st_uid,
        "gid": seen.st_gid,
        "mtime": seen.st_mtime_ns,
        "device": seen.st_rdev,
        "attributes": attributes(path),
    }
    if not stat.S_ISDIR(seen.st_mode):
        said |= {"size": seen.st_size, "links": seen.st_nlink}
    if stat.S_ISLNK(seen.st_mode):
        said["target"] = str(path.readlink())
    if stat.S_ISREG(seen.st_mode):
        said["digest"] = digest(path, seen.st_size)
    return said


def main() -> None:
    """Look at each tree that is named."""
    trees = [Path(name) for name in sys.argv[1:]]
    paths = [path for tree in trees for path in (tree, *tree.rglob("*"))]
    print(json.dumps({str(path): look(path) for path in paths}))


if __name__ == "__main__":
    main()
