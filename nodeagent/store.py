"""What the agent knows now: roots, admitted pods, the node's state; safe for every thread.

The NRI thread answers from here without a disk; service.py's streams are told of each change.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nodeagent.model import NodeStatus, Role, Root, Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nodeagent.model import Admission

    Listener = Callable[[str | None], None]  # a root's uid, or None for the node's state


def now_us() -> int:
    """Say what time it is, as timelines have it."""
    return time.time_ns() // 1000


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
            self.tell(None)

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

    def update(
        self,
        uid: str,
        *,
        when: Callable[[Root], bool] | None = None,
        marks: Mapping[str, int] | None = None,
        tell: bool = True,
        **changes: Any,
    ) -> Root:
        """Change fields of a root, and times of its timeline; `when` is asked in the same moment.

        Who does not let it be told at once, because something hurries, calls tell() after that.
        """
        with self._lock:
            old = self._roots.get(uid, Root(uid))
            if when is not None and not when(old):
                return old
            if marks and old.consumer is not None:
                timeline = replace(old.timeline, pod_uid=old.consumer.pod_uid, **marks)
                changes["timeline"] = timeline
            new = replace(old, **changes)
            self._roots[uid] = new
            self._index(old, new)
        if tell and new != old:
            self.tell(uid)
        return new

    def drop(self, uid: str) -> None:
        """Forget a root."""
        with self._lock:
            old = self._roots.pop(uid, None)
            if old is not None:
                self._index(old, Root(uid))
        if old is not None:
            self.tell(uid)

    def admission(self, pod_uid: str) -> Admission | None:
        """Find an admitted pod."""
        with self._lock:
            return self._pods.get(pod_uid)

    def admit(self, admission: Admission) -> Root:
        """Put a pod in its role's place; a new consumer's life begins with an empty timeline."""
        uid = admission.root_uid
        changes: dict[str, Any] = {admission.role.value: admission}
        known = self.get(uid).timeline.pod_uid
        if admission.role is Role.CONSUMER and known != admission.pod_uid:
            return self.update(uid, timeline=Timeline(admission.pod_uid), **changes)
        return self.update(uid, **changes)

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

    def tell(self, uid: str | None) -> None:
        """Let all streams look again at a root, or at the node's state."""
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener(uid)
