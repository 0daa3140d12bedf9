"""The agent's use cases, one method each: lock per root, observe, plan, apply, result.

Plain threads, no framework: service.py calls these off its loop; recovery.py runs first.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from nodeagent import apply, plan, records
from nodeagent.errors import Busy, Impossible, NotFound, NotThereYet, RecordCorrupt, StaleFence
from nodeagent.model import Problem, ProcessState, Record, Role, Root
from nodeagent.paths import checked_id, source_of
from nodeagent.store import now_us

if TYPE_CHECKING:
    from nodeagent.doors import Kernel, Runtime
    from nodeagent.holders import Holders
    from nodeagent.model import Admission
    from nodeagent.paths import Paths
    from nodeagent.processes import Processes
    from nodeagent.store import Store

_LAST_UNMOUNT_WAIT = 2.0  # the kernel takes dead namespaces apart after their last process
_log = structlog.get_logger()


class Agent:
    """Everything that the controller may ask of this node."""

    def __init__(
        self,
        paths: Paths,
        kernel: Kernel,
        runtime: Runtime,
        store: Store,
        holders: Holders,
        *,
        processes: Processes,
    ) -> None:
        """Wire the doors; nothing happens here."""
        self.paths, self.kernel, self.runtime = paths, kernel, runtime
        self.store, self.holders, self.processes = store, holders, processes
        self.writeback, self._locked = processes.writeback, processes.writeback.locks.locked
        self._fence_lock = threading.Lock()
        self._fence = 0

    def load_fence(self) -> None:
        """Read the highest fencing number seen before the last restart."""
        self._fence = records.read_fence(self.paths)

    def ensure(self, wanted: Record, image_id: str) -> Root:
        """Make the root exist, pinned and mounted; the image of an old root never changes."""
        uid = wanted.uid
        with self._locked(uid):
            known = self._healthy(uid)
            record = known.record
            if record is None:
                if not image_id:
                    message = f"root {uid} is new on this node and no image_id was given"
                    raise Impossible("LayersMissing", message)
                record = replace(wanted, image=self.runtime.image(image_id))
            if record.deleting:
                message = f"root {uid} is being deleted"
                raise Busy(message)
            return self._mount_or_remember(record)

    def resume(self, uid: str) -> None:
        """After a start: go on with what the record says, delete or mount."""
        with self._locked(uid):
            record = self.store.get(uid).record
            if record is None:
                return
            if record.deleting:
                self._delete(uid)
            else:
                self._mount_or_remember(record)

    def release(self, uid: str) -> Root:
        """Unmount the root and keep its data."""
        with self._locked(uid):
            self._known(uid)
            self._unmount(uid)
            return self.store.get(uid)

    def delete(self, uid: str) -> None:
        """Remove root, data, pins, record and admissions."""
        with self._locked(uid):
            self._delete(uid)

    def get(self, uid: str) -> Root:
        """Return one root."""
        root = self.store.get(checked_id(uid))
        if root.record is None and root.problem is None:
            message = f"no root {uid} on this node"
            raise NotFound(message)
        return root

    def admit(self, admission: Admission) -> None:
        """Announce a pod: memory first, because its container may come at once, then the disk."""
        uid = admission.root_uid
        with self._locked(uid):
            known = self._healthy(uid)
            if getattr(known, admission.role.value) == admission:
                return
            if admission.role is Role.CONSUMER:
                self._may_admit(known, admission)
            before = getattr(known, admission.role.value)
            self._prepare(known, admission)
            self.store.admit(admission)
            try:
                self.kernel.make_dir(self.paths.root(uid), 0o700)
                records.write_admission(self.paths, admission)
            except Exception:
                self.store.update(uid, **{admission.role.value: before})
                raise

    def sync(self, uid: str) -> Root:
        """Write everything of the root to disk; only of a root that nobody writes to."""
        with self._locked(uid):
            self._known(uid)
            before = self._quiet(uid)
            self.writeback.flush(uid)
            # A restart may have come in between: then the holder is another, or its command runs.
            self.store.update(
                uid,
                when=lambda now: (now.holder, now.process) == (before.holder, before.process),
                marks={} if before.synced else {"synced": now_us()},
                synced=True,
            )
            self.writeback.note(uid)
            return self.store.get(uid)

    def start_process(self, uid: str, pod_uid: str, hook: tuple[str, ...]) -> Root:
        """Start the command of a supervised container; the root's lock would only cost time."""
        return self.processes.start(checked_id(uid), checked_id(pod_uid), hook)

    def stop_process(
        self, uid: str, pod_uid: str, seconds: float, hook: tuple[str, ...], *, freeze: bool
    ) -> Root:
        """Stop the command of a supervised container, or freeze it."""
        checked_id(uid)
        return self.processes.stop(uid, checked_id(pod_uid), seconds, hook, freeze=freeze)

    def check_fence(self, fence: int) -> None:
        """Refuse a controller that lost its lease; remember the highest number seen."""
        with self._fence_lock:
            if fence < self._fence:
                message = f"fence {fence} is stale, {self._fence} was seen: the lease is lost"
                raise StaleFence(message)
            if fence > self._fence:
                records.write_fence(self.paths, fence)
                self._fence = fence

    # ---- parts of them; the caller has the lock ----

    def _may_admit(self, known: Root, admission: Admission) -> None:
        record = known.record
        if record is None or record.deleting:
            message = f"no root {known.uid} on this node"
            raise NotFound(message)
        if record.namespace != admission.namespace:
            message = f"root {known.uid} belongs to namespace {record.namespace}"
            raise Impossible("ForeignNamespace", message)
        holder = self.holders.recheck(known.uid)
        if holder is not None and holder.pod_uid != admission.pod_uid:
            message = (
                f"in use: pod {holder.pod_uid or 'unknown'} lives on it (process {holder.pid})"
            )
            raise Busy(message)

    def _prepare(self, known: Root, admission: Admission) -> None:
        """Have what a supervised container needs before its runtime can come for it."""
        if admission.supervise:
            anew = known.consumer is None or known.consumer.pod_uid != admission.pod_uid
            self.processes.admit(admission.root_uid, anew=anew)
        elif admission.role is Role.CONSUMER:
            self.processes.forget(admission.root_uid)

    def _mount_or_remember(self, record: Record) -> Root:
        try:
            return self._mount(record)
        except Exception as error:
            self._remember(record.uid, error)
            raise

    def _mount(self, record: Record) -> Root:
        uid = record.uid
        observed = apply.observe(uid, self.kernel, self.paths)
        record = observed.record or record  # the one on disk was there first
        if plan.mounted(uid, observed, self.paths) is not None:
            self._adopt(record)
        elif others := self.kernel.mounted_for(source_of(uid)):
            message = f"a mount of root {uid} still lives in process {others[0]}'s namespace"
            raise Busy(message)
        lower = self.runtime.pin(uid, record.image.chain_id)
        steps = plan.ensure(record, lower, observed, self.paths)
        try:
            apply.apply(steps, self.kernel, self.runtime, self.paths)
        except Exception:
            if self.store.get(uid).record is None and (
                saved := records.read_record(self.paths, uid)
            ):
                self.store.update(uid, record=saved, synced=True)
            raise
        return self._adopt(record)

    def _adopt(self, record: Record) -> Root:
        """Take a mounted root into the store, with whoever lives on it."""
        uid, target = record.uid, self.paths.rootfs(record.uid)
        fresh: dict[str, Any] = {} if self.store.get(uid).record else {"synced": True}
        self.store.update(
            uid,
            record=record,
            device=self.kernel.device(target),
            host_path=str(target),
            problem=None,
            **fresh,
        )
        self.holders.recheck(uid)
        return self.store.get(uid)

    def _unmount(self, uid: str) -> None:
        self._free(uid)
        observed = apply.observe(uid, self.kernel, self.paths)
        steps = plan.release(uid, observed, self.paths)
        apply.apply(steps, self.kernel, self.runtime, self.paths)
        self.store.update(uid, device=None)
        deadline = time.monotonic() + _LAST_UNMOUNT_WAIT
        while others := self.kernel.mounted_for(source_of(uid)):
            if time.monotonic() > deadline:
                message = f"root {uid} is still mounted in the namespace of process {others[0]}"
                raise Busy(message)
            time.sleep(0.05)

    def _delete(self, uid: str) -> None:
        if self.store.get(uid) == Root(uid) and not self.kernel.exists(self.paths.root(uid)):
            return
        try:
            observed = apply.observe(uid, self.kernel, self.paths)
        except RecordCorrupt:
            # Deleting needs nothing that a record says: pins and folders are named by the id.
            records.remove_file(self.paths.record(uid))
            observed = apply.observe(uid, self.kernel, self.paths)
        self._unmount(uid)
        self.processes.forget(uid)
        if observed.record is not None:
            self.store.update(uid, record=replace(observed.record, deleting=True))
        observed = apply.observe(uid, self.kernel, self.paths)
        steps = plan.remove(uid, observed, self.paths)
        apply.apply(steps, self.kernel, self.runtime, self.paths)
        self.store.drop(uid)

    def _free(self, uid: str) -> None:
        holder = self.holders.recheck(uid)
        if holder is not None:
            message = (
                f"in use: pod {holder.pod_uid or 'unknown'} lives on it (process {holder.pid})"
            )
            raise Busy(message)

    def _quiet(self, uid: str) -> Root:
        """Prove that nothing writes to the root: nobody is there, or only a gate and its frozen."""
        root = self.store.get(uid)
        if root.supervised is None or not root.process.is_quiet:
            self._free(uid)
            return self.store.get(uid)
        others = self.kernel.beside(root.supervised.pid)
        if others and root.process is ProcessState.STOPPED:
            message = f"in use: process {others[0]} runs beside the gate"
            raise Busy(message)
        return root

    def _known(self, uid: str) -> None:
        if self._healthy(uid).record is None:
            message = f"no root {uid} on this node"
            raise NotFound(message)

    def _healthy(self, uid: str) -> Root:
        known = self.store.get(checked_id(uid))
        if known.problem is not None and known.problem.reason == "RecordCorrupt":
            raise Impossible(known.problem.reason, known.problem.message)
        return known

    def _remember(self, uid: str, error: Exception) -> None:
        """Keep what is wrong with a root that has a record, for its status."""
        if self.store.get(uid).record is None or isinstance(error, (Busy, NotThereYet)):
            return
        reason = error.reason if isinstance(error, Impossible) else "MountFailed"
        self.store.update(uid, problem=Problem(reason, str(error)))
        _log.error("root has a problem", root=uid, reason=reason, error=str(error))
