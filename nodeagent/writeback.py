"""Makes durable what a root's containers wrote, and remembers it; the locks of the roots.

agent.py does it on demand, processes.py after each stop of a supervised command.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from nodeagent import records
from nodeagent.errors import Busy, NotFound
from nodeagent.paths import checked_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nodeagent.doors import Kernel
    from nodeagent.paths import Paths
    from nodeagent.store import Store

_LOCK_WAIT = 1.0  # seconds; a call that works longer on the root makes the others Busy


class Locks:
    """One lock for each root."""

    def __init__(self) -> None:
        """Start with none."""
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    @contextmanager
    def locked(self, uid: str, wait: float = 0.0) -> Iterator[None]:
        """Be the only one that works on a root; Busy when another does for too long."""
        checked_id(uid)
        with self._guard:
            lock = self._locks.setdefault(uid, threading.Lock())
        if not lock.acquire(timeout=wait or _LOCK_WAIT):
            message = f"another call works on root {uid}"
            raise Busy(message)
        try:
            yield
        finally:
            lock.release()


class Writeback:
    """Writes roots to disk; who calls has the root's lock, and knows that nobody writes to it."""

    def __init__(self, paths: Paths, kernel: Kernel, store: Store) -> None:
        """Wire the doors."""
        self._paths, self._kernel, self._store = paths, kernel, store
        self.locks = Locks()

    def flush(self, uid: str) -> None:
        """Write everything of the root to disk."""
        root = self._store.get(uid)
        if root.record is None:
            message = f"no root {uid} on this node"
            raise NotFound(message)
        # A mounted overlay's sync is that of its upper's filesystem (ovl_sync_fs).
        mounted = root.device is not None
        self._kernel.sync(self._paths.rootfs(uid) if mounted else self._paths.upper(uid))

    def note(self, uid: str) -> None:
        """Put on disk for whom all was written, so that a later agent knows; if it is still so."""
        root = self._store.get(uid)
        record = root.record
        if record is None or not root.synced:
            return
        synced_for = root.consumer.pod_uid if root.consumer else ""
        if record.synced_for != synced_for:
            record = replace(record, synced_for=synced_for)
            records.write_record(self._paths, record)
            self._store.update(uid, record=record, tell=False)

    def settle(self, uid: str) -> None:
        """Put on disk that a container writes to the root: it is not synced any more."""
        known = self._store.get(uid)
        if known.holder is None or known.synced or not known.record or not known.record.synced_for:
            return
        with self.locks.locked(uid):
            known = self._store.get(uid)
            if known.record is not None and not known.synced:
                record = replace(known.record, synced_for="")
                records.write_record(self._paths, record)
                self._store.update(uid, record=record)
