"""The Debug document: what the agent sees, for people who look for what is wrong.

service.py sends it as JSON; nothing reads it back.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from nodeagent.paths import SOURCE_PREFIX

if TYPE_CHECKING:
    from nodeagent.agent import Agent


def debug(agent: Agent) -> dict[str, object]:
    """Put memory beside the kernel's truth."""
    base = str(agent.paths.base)
    return {
        "node": asdict(agent.store.node),
        "base": base,
        "roots": [asdict(root) for root in agent.store.known()],
        "mounts": [
            asdict(mount)
            for mount in agent.kernel.mounts()
            if mount.source.startswith(SOURCE_PREFIX) or mount.target.startswith(base)
        ],
        "living": {
            root.uid: [
                process.pid
                for process in agent.kernel.processes()
                if process.root_device == root.device
            ]
            for root in agent.store.roots()
            if root.device is not None
        },
    }
