"""What the agent knows now: roots, admitted pods, the node's state; safe for every thread.

The NRI thread answers from here without a disk; service.py's streams are told of each change.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nodeagent.model import NodeStatus, Role, Root

if TYPE_CHECKING:
    from collections.abc import Callable

    from nodeagent.model import Admission

    Listener = Callable[[str | None], None]  # a root's uid, or None for the node's state


class Store:
    """Frozen values behind one lock; nobody holds it while doing anything slow."""

    def __init__(self, node: str) -> None:
        """Start with nothing, and a node that is not ready."""
        self._lock = threading.Lock()
        self._roots: dict[str, Root] = {}
        self._pods: dict[str, Admission] = {}
        self._devices: dict[int, str] = {}
        self._listeners: list[Listener] = []
        message = "the agent is reading its records and mounts"
        self._node = NodeStatus(node, ready=False, reason="Recovering", message=message, runtime="")

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell the listener of every change, in its thread; returns how to stop that."""
        with self._lock:
            self._listeners.append(listener)

        def stop() -> None:
            with self._lock:
                self._listeners.remove(listener)

        return stop

    @property
    def node(self) -> NodeStatus:
        """Say whether this node can take roots."""
        with self._lock:
            return self._node

    def set_node(self, status: NodeStatus) -> None:
        """Change the node's state."""
        with self._lock:
            changed = status != self._node
            self._node = status
        if changed:
            self._tell(None)

    def get(self, uid: str) -> Root:
        """Return what is known of a root; an unknown one has no record."""
        with self._lock:
            return self._roots.get(uid, Root(uid))

    def roots(self) -> tuple[Root, ...]:
        """Return the roots that have a record or a problem, by id."""
        with self._lock:
            found = [
                r for r in self._roots.values() if r.record is not None or r.problem is not None
            ]
        return tuple(sorted(found, key=lambda root: root.uid))

    def known(self) -> tuple[Root, ...]:
        """Return everything, also ids that have only an admission."""
        with self._lock:
            return tuple(self._roots.values())

    def update(self, uid: str, **changes: Any) -> Root:
        """Change fields of a root."""
        with self._lock:
            old = self._roots.get(uid, Root(uid))
            new = replace(old, **changes)
            self._roots[uid] = new
            self._index(old, new)
        if new != old:
            self._tell(uid)
        return new

    def drop(self, uid: str) -> None:
        """Forget a root."""
        with self._lock:
            old = self._roots.pop(uid, None)
            if old is not None:
                self._index(old, Root(uid))
        if old is not None:
            self._tell(uid)

    def admission(self, pod_uid: str) -> Admission | None:
        """Find an admitted pod."""
        with self._lock:
            return self._pods.get(pod_uid)

    def admit(self, admission: Admission) -> Root:
        """Put a pod in its role's place."""
        return self.update(admission.root_uid, **{admission.role.value: admission})

    def root_on(self, device: int) -> str | None:
        """Find the root that is mounted as a device."""
        with self._lock:
            return self._devices.get(device)

    def _index(self, old: Root, new: Root) -> None:
        for role in Role:
            before, after = getattr(old, role.value), getattr(new, role.value)
            if before == after:
                continue
            # A pod may have been admitted to another root since.
            if before is not None and self._pods.get(before.pod_uid) == before:
                del self._pods[before.pod_uid]
            if after is not None:
                self._pods[after.pod_uid] = after
        if old.device is not None and old.device != new.device:
            self._devices.pop(old.device, None)
        if new.device is not None:
            self._devices[new.device] = new.uid

    def _tell(self, uid: str | None) -> None:
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener(uid)
