"""Whether this node can take roots: recovery, runtime and NRI become one NodeStatus.

__main__ and nri.py report what they see; the status goes into the store and to every stream.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

from nodeagent.errors import AgentError
from nodeagent.model import NodeStatus, RuntimeVersion

if TYPE_CHECKING:
    from nodeagent.doors import Runtime
    from nodeagent.store import Store

_OLDEST = (1, 7)
_UNSUPPORTED = (
    "the runtime is {runtime}: containerd 2.0 or newer is needed, or 1.7 with NRI switched on"
)
_NO_NRI = (
    "no NRI connection ({why}): in containerd's configuration set `disable = false` under "
    "[plugins.'io.containerd.nri.v1.nri'] (the default since 2.0) and restart containerd"
)


def judge(
    node: str,
    *,
    recovered: bool,
    runtime: RuntimeVersion | None,
    runtime_why: str,
    nri: bool,
    nri_why: str,
) -> NodeStatus:
    """Name the first thing that is missing."""
    name = str(runtime) if runtime else ""

    def status(reason: str, message: str) -> NodeStatus:
        return NodeStatus(node, reason == "Ready", reason, message, name)

    if runtime is None:
        return status("RuntimeUnavailable", f"the container runtime does not answer: {runtime_why}")
    if not is_supported(runtime):
        return status("RuntimeUnsupported", _UNSUPPORTED.format(runtime=name))
    if not recovered:
        return status("Recovering", "the agent is reading its records and mounts")
    if not nri:
        return status("NRIUnavailable", _NO_NRI.format(why=nri_why or "not yet"))
    return status("Ready", "")


def is_supported(runtime: RuntimeVersion) -> bool:
    """Say whether a runtime has what the swap needs."""
    match = re.match(r"v?(\d+)\.(\d+)", runtime.version)
    version = (int(match.group(1)), int(match.group(2))) if match else (0, 0)
    return runtime.name == "containerd" and version >= _OLDEST


class Node:
    """Collects what the parts report, from any thread."""

    def __init__(self, name: str, store: Store, runtime: Runtime) -> None:
        """Start with everything missing."""
        self._name, self._store, self._runtime = name, store, runtime
        self._lock = threading.Lock()
        self._recovered = False
        self._version: RuntimeVersion | None = None
        self._runtime_why = "not asked yet"
        self._nri, self._nri_why = False, ""

    def ask_runtime(self) -> None:
        """Ask the runtime who it is, and whether it is there at all."""
        try:
            version, why = self._runtime.version(), ""
        except AgentError as error:
            version, why = None, str(error)
        with self._lock:
            self._version, self._runtime_why = version, why
        self._report()

    def set_recovered(self) -> None:
        """Note that records and mounts are as they should be."""
        with self._lock:
            self._recovered = True
        self._report()

    def set_nri(self, connected: bool, why: str) -> None:
        """Note the state of the NRI connection."""
        with self._lock:
            self._nri, self._nri_why = connected, why
        self._report()

    def _report(self) -> None:
        with self._lock:
            status = judge(
                self._name,
                recovered=self._recovered,
                runtime=self._version,
                runtime_why=self._runtime_why,
                nri=self._nri,
                nri_why=self._nri_why,
            )
            self._store.set_node(status)
