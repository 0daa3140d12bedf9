"""Who lives on which overlay: by pidfds, and by the device of every process's root.

admission.py says who comes, agent.py asks before it unmounts; what becomes free goes to the store.
"""

from __future__ import annotations

import os
import select
import threading
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nodeagent.errors import Refused
from nodeagent.model import Holder, Process, ProcessState
from nodeagent.store import now_us

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nodeagent.doors import Kernel
    from nodeagent.model import ContainerEvent
    from nodeagent.store import Store


def living_on(processes: Iterable[Process], device: int, namespace: int = 0) -> tuple[Process, ...]:
    """Pick the processes rooted on it, or in its container's mount namespace; oldest first."""
    found = [
        p
        for p in processes
        if p.root_device == device or (namespace and p.mount_namespace == namespace)
    ]
    return tuple(sorted(found, key=lambda process: process.pid))


class Holders:
    """Keeps a pidfd, and the mount namespace, for each held root, in a thread of its own."""

    def __init__(self, kernel: Kernel, store: Store) -> None:
        """Start with nobody; run() is the thread's body."""
        self._kernel = kernel
        self._store = store
        self._lock = threading.Lock()
        self._pidfds: dict[int, str] = {}
        # Kept until nobody is left: another container's may not have its number meanwhile.
        self._namespaces: dict[str, int] = {}
        self._poll = select.epoll()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll.register(self._wake_read, select.EPOLLIN)
        self._own_namespaces: frozenset[int] = frozenset()
        self._stopping = False
        self.on_freed: Callable[[str], None] = lambda _uid: None

    def start(self) -> threading.Thread:
        """Run the thread that waits for processes to end."""
        thread = threading.Thread(target=self._run, name="holders", daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """End the thread."""
        self._stopping = True
        os.write(self._wake_write, b"x")

    def hold(
        self,
        uid: str,
        holder: Holder,
        *,
        marks: Mapping[str, int] | None = None,
        tell: bool = True,
    ) -> None:
        """Record a holder before its first instruction; its end is noticed by its pidfd."""
        try:
            namespace, number = self._kernel.keep_namespace(holder.pid)
            try:
                pidfd = self._kernel.open_pidfd(holder.pid)
            except OSError:
                os.close(namespace)
                raise
        except OSError as error:
            message = f"process {holder.pid} of the container is gone: {error.strerror}"
            raise Refused(message) from error
        if holder.mount_namespace:
            holder = replace(holder, mount_namespace=number)
        with self._lock:
            self._forget(uid)
            self._let_go(uid)
            self._namespaces[uid] = namespace
            self._pidfds[pidfd] = uid
            self._store.update(uid, marks=marks, tell=tell, **self._held(uid, holder))
            self._poll.register(pidfd, select.EPOLLIN | select.EPOLLONESHOT)

    def recheck(self, uid: str, without: int = 0) -> Holder | None:
        """Look at the processes now; a root that nobody (but `without`) lives on becomes free."""
        with self._lock:
            root = self._store.get(uid)
            if root.device is None:
                self._free(uid)
                return None
            namespace = root.holder.mount_namespace if root.holder else 0
            # A process that forks while /proc is being listed may be missed once, not twice.
            left = self._living(root.device, namespace, without) or self._living(
                root.device, namespace, without
            )
            if not left:
                self._free(uid)
                return None
            watched = uid in self._pidfds.values()
            if root.holder and watched and any(p.pid == root.holder.pid for p in left):
                return root.holder
        return self._follow(uid, root.holder, left)

    def adopt(self, containers: Iterable[ContainerEvent]) -> None:
        """Take the runtime's word for which container a found process is the first of."""
        for event in containers:
            process = self._kernel.process(event.pid) if event.pid > 0 else None
            uid = self._store.root_on(process.root_device) if process else None
            if process is None or uid is None:
                continue
            known = self._store.get(uid).holder
            if known is None or known.pod_uid != event.pod_uid or known.since_unix_ms == 0:
                with suppress(Refused):
                    found = Holder(
                        event.pod_uid,
                        event.pid,
                        0,
                        self.namespace_of(process),
                        event.container_id,
                    )
                    self.hold(uid, found)

    def _held(self, uid: str, holder: Holder) -> dict[str, Any]:
        """What a holder changes; one that is only known better than before changes no more."""
        root = self._store.get(uid)
        if root.holder is not None and root.holder.pid == holder.pid:
            return {"holder": holder}
        supervised = replace(root, holder=holder).supervised is not None
        process = ProcessState.CONNECTING if supervised else ProcessState.NONE
        return {"holder": holder, "synced": False, "process": process}

    def _free(self, uid: str) -> None:
        self._forget(uid)
        self._let_go(uid)
        self._store.update(
            uid,
            when=lambda root: root.holder is not None,
            marks={"stopped": now_us()},
            holder=None,
            process=ProcessState.NONE,
        )

    def _living(self, device: int, namespace: int, without: int) -> tuple[Process, ...]:
        found = living_on(self._kernel.processes(), device, namespace)
        return tuple(process for process in found if process.pid != without)

    def _follow(self, uid: str, last: Holder | None, left: tuple[Process, ...]) -> Holder | None:
        """Wait for one that is left next; its pod is the last holder's, or what its cgroup says."""
        for process in left:
            pod_uid = last.pod_uid if last else self._kernel.pod_of(process.pid)
            since, container = (last.since_unix_ms, last.container_id) if last else (0, "")
            found = Holder(pod_uid, process.pid, since, self.namespace_of(process), container)
            with suppress(Refused):
                self.hold(uid, found)
                return found
        return self.recheck(uid)

    def namespace_of(self, process: Process) -> int:
        """Return a container's mount namespace; 0 for the node's own, in which everybody lives."""
        if not self._own_namespaces:
            # Once: neither the node's first process nor the agent ever changes its own.
            nodes = (self._kernel.process(pid) for pid in (1, os.getpid()))
            self._own_namespaces = frozenset(p.mount_namespace for p in nodes if p is not None)
        return 0 if process.mount_namespace in self._own_namespaces else process.mount_namespace

    def _forget(self, uid: str) -> None:
        for pidfd in [fd for fd, owner in self._pidfds.items() if owner == uid]:
            del self._pidfds[pidfd]
            with suppress(OSError):
                self._poll.unregister(pidfd)
            os.close(pidfd)

    def _let_go(self, uid: str) -> None:
        namespace = self._namespaces.pop(uid, None)
        if namespace is not None:
            os.close(namespace)

    def _run(self) -> None:
        while not self._stopping:
            for fd, _ in self._poll.poll():
                if fd == self._wake_read:
                    continue
                with self._lock:
                    uid = self._pidfds.get(fd)
                    if uid is not None:
                        self._forget(uid)
                if uid is not None and self.recheck(uid) is None:
                    self.on_freed(uid)
