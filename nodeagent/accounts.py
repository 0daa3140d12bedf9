"""Who a uid is by the kept root's own /etc/passwd and /etc/group. Pure.

The runtime looks a process's groups up in the image, where nobody knows of a user that was made
inside. admission.py reads the two files below the root, oci.py puts the outcome into the spec.
Both files are the user's: bounded, and what cannot be read in them is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 1024 * 1024
MAX_GROUPS = 1000  # far below NGROUPS_MAX; credentials(7)
_MAX_ID = 2**32 - 2  # 2**32 - 1 means "leave it" to setgid(2)


@dataclass(frozen=True, slots=True)
class Accounts:
    """The texts of the two files; empty where there is none."""

    passwd: str = ""
    group: str = ""


def primary_of(accounts: Accounts, uid: int) -> tuple[str, int] | None:
    """The name and primary group of a uid, by its first entry (passwd(5))."""
    for fields in _entries(accounts.passwd, 7):
        if _number(fields[2]) == uid and (gid := _number(fields[3])) is not None:
            return fields[0], gid
    return None


def groups_of(accounts: Accounts, name: str) -> tuple[int, ...]:
    """The groups that list a user as a member (group(5))."""
    found = (
        gid
        for fields in _entries(accounts.group, 4)
        if name in fields[3].split(",") and (gid := _number(fields[2])) is not None
    )
    return tuple(dict.fromkeys(found))[:MAX_GROUPS]


def _entries(text: str, fields: int) -> Iterator[list[str]]:
    for line in text.splitlines():
        parts = line.strip().split(":")
        if len(parts) == fields and parts[0] and not parts[0].startswith(("#", "+", "-")):
            yield parts


def _number(text: str) -> int | None:
    # str.isdigit knows more digits than C does.
    valid = text.isascii() and text.isdigit() and len(text) <= 10
    return int(text) if valid and int(text) <= _MAX_ID else None
