"""Every error that the agent raises on purpose; each says what is wrong.

service.py turns them into status codes by one table, admission.py's reach kubelet as text.
"""

from __future__ import annotations

import os


class AgentError(Exception):
    """The root of all errors that become a reply; anything else is a bug and ends as INTERNAL."""


class InvalidRequest(AgentError):
    """A field is missing, too long or malformed."""


class NotThereYet(AgentError):
    """The runtime or NRI is away; the same call may succeed later."""


class Busy(AgentError):
    """A container holds the root, or another call works on it."""


class NotFound(AgentError):
    """No such root on this node."""


class Impossible(AgentError):
    """The root cannot be made from what the node has; `reason` is CamelCase for conditions."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep the reason apart from the sentence."""
        super().__init__(message)
        self.reason = reason


class StaleFence(AgentError):
    """The caller is a controller that has lost its lease."""


class RecordCorrupt(AgentError):
    """A record on disk is not what we wrote."""


class Refused(AgentError):
    """A container may not be created or started; the text goes into the pod's status."""


class MountError(AgentError):
    """A system call failed: names the act, its source and target, and the errno."""

    def __init__(self, act: str, source: str, target: str, errno: int, detail: str = "") -> None:
        """Build the one line that a person reads in status."""
        between = f"{source} -> {target}" if source else target
        super().__init__(f"{act} {between}: {os.strerror(errno)}{f' ({detail})' if detail else ''}")
        self.errno = errno
