"""Where each thing lives below the agent's base folder. Pure: nothing here touches the disk.

Ids come from outside: every name is checked here before it becomes a part of a path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nodeagent.errors import InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path

    from nodeagent.model import Role

_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
SOCKET, STATE = "agent.sock", "state"  # in a gate's folder
SOURCE_PREFIX = "stoppablecontainer:"  # of an overlay's source string in mountinfo: its identity


def checked_id(uid: str) -> str:
    """Return the id when it can be one part of a path, else refuse it."""
    if not _ID.fullmatch(uid):
        message = f"{uid[:80]!r} is not an id: lower case letters, digits and '-', at most 63"
        raise InvalidRequest(message)
    return uid


def source_of(uid: str) -> str:
    """Name the overlay of a root, as mountinfo shows it."""
    return SOURCE_PREFIX + uid


@dataclass(frozen=True, slots=True)
class Paths:
    """All paths of one agent."""

    base: Path
    run: Path | None = None  # what need not outlive a boot, in memory; below the base when not told

    @property
    def roots(self) -> Path:
        """Hold one folder for each root."""
        return self.base / "roots"

    @property
    def instances(self) -> Path:
        """Hold the mount points."""
        return self.base / "instances"

    @property
    def bin(self) -> Path:
        """Hold the gate's binaries, one for each digest."""
        return self.base / "bin"

    @property
    def fence(self) -> Path:
        """Keep the highest fencing number seen."""
        return self.base / "fence.json"

    def gate(self, digest: str) -> Path:
        """Name a gate by its content, so that a running one is never overwritten."""
        return self.bin / f"gate-{digest[:12]}"

    @property
    def gates(self) -> Path:
        """Hold what the gates of supervised containers share with the agent.

        Written at every warm start and stop: on a disk each would wait for the journal's commits.
        """
        return (self.run or self.base) / "gates"

    def gate_folder(self, uid: str) -> Path:
        """Be seen in a supervised container, read-only."""
        return self.gates / checked_id(uid)

    def state(self, uid: str) -> Path:
        """Tell probes and hooks in the container how the command is."""
        return self.gate_folder(uid) / STATE

    def root(self, uid: str) -> Path:
        """Hold upper, work and the records of a root."""
        return self.roots / checked_id(uid)

    def upper(self, uid: str) -> Path:
        """Hold what the user wrote."""
        return self.root(uid) / "upper"

    def upper_draft(self, uid: str) -> Path:
        """Be what an upper is before it has its attributes."""
        return self.root(uid) / "upper.new"

    def work(self, uid: str) -> Path:
        """Be the overlay's work folder, on the upper's filesystem."""
        return self.root(uid) / "work"

    def record(self, uid: str) -> Path:
        """Describe the root."""
        return self.root(uid) / "record.json"

    def admission(self, uid: str, role: Role) -> Path:
        """Name the admitted pod of a role."""
        return self.root(uid) / f"{role.value}.json"

    def instance(self, uid: str) -> Path:
        """Hold the mount point of a root."""
        return self.instances / checked_id(uid)

    def rootfs(self, uid: str) -> Path:
        """Be where the root is mounted."""
        return self.instance(uid) / "rootfs"
