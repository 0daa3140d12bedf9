"""Reads the kernel's mount table: `parse` is pure, `read` only opens the file.

agent.py compares what it returns with the records; linux.py looks through other namespaces with it.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from nodeagent.model import Mount

_ESCAPE = re.compile(r"\\([0-7]{3})")
_FIXED_FIELDS = 6
_TAIL_FIELDS = 3


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 8)), text)


def _parse_line(line: str) -> Mount:
    # Fields are parted by single spaces; an empty source or option string is an empty field, so no
    # split().
    head, separator, tail = line.partition(" - ")
    fields, ends = head.split(" "), tail.split(" ", _TAIL_FIELDS - 1)
    if not separator or len(fields) < _FIXED_FIELDS or len(ends) < _TAIL_FIELDS:
        message = f"not a line of mountinfo: {line[:200]!r}"
        raise ValueError(message)
    major, _, minor = fields[2].partition(":")
    return Mount(
        mount_id=int(fields[0]),
        parent_id=int(fields[1]),
        device=os.makedev(int(major), int(minor)),
        root=_unescape(fields[3]),
        target=_unescape(fields[4]),
        options=tuple(fields[5].split(",")),
        propagation=tuple(field for field in fields[_FIXED_FIELDS:] if field),
        fstype=_unescape(ends[0]),
        source=_unescape(ends[1]),
        super_options=tuple(_unescape(part) for part in ends[2].split(",")),
    )


def parse(text: str) -> tuple[Mount, ...]:
    """Turn the text of a mountinfo file into mounts, in the file's order."""
    return tuple(_parse_line(line) for line in text.split("\n") if line)


def read(pid: int | str = "self") -> tuple[Mount, ...]:
    """Read one process's mount table; gone processes have an empty one."""
    try:
        raw = Path(f"/proc/{pid}/mountinfo").read_bytes()
    except OSError as error:
        # EINVAL: a zombie has no namespaces any more. Anything else must not look like "nothing is
        # mounted".
        if pid != "self" and error.errno in (errno.ENOENT, errno.ESRCH, errno.EINVAL):
            return ()
        raise
    return parse(raw.decode("utf-8", "surrogateescape"))
