"""The three NRI moments: is this pod ours, swap its root, verify it, know its holder.

nri.py calls it from its own thread; every look-up is in memory, and nothing here waits.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nodeagent import oci
from nodeagent.accounts import MAX_BYTES, Accounts
from nodeagent.errors import AgentError, Refused
from nodeagent.model import Holder, Role
from nodeagent.store import now_us

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nodeagent.doors import Kernel, Runtime
    from nodeagent.holders import Holders
    from nodeagent.model import Admission, ContainerEvent, Root
    from nodeagent.processes import Processes
    from nodeagent.store import Store

_SPEC_LIMIT = 8 * 1024 * 1024
_SHIM = "io.containerd.runc.v2"


class Gatekeeper:
    """Lets admitted containers onto their roots, and nobody else."""

    def __init__(
        self,
        store: Store,
        holders: Holders,
        kernel: Kernel,
        runtime: Runtime,
        *,
        processes: Processes,
        gate: Path,
    ) -> None:
        """Wire the doors."""
        self._store, self._holders, self._processes = store, holders, processes
        self._kernel, self._runtime = kernel, runtime
        self._gate = str(gate)
        self._untold: list[str] = []

    def synchronize(self, containers: Sequence[ContainerEvent]) -> None:
        """Learn from the runtime which containers run on our roots."""
        self._holders.adopt(containers)

    def create_container(self, event: ContainerEvent) -> None:
        """Refuse a consumer early when its root cannot take it; the pod's status shows why."""
        admission = self._admission(event)
        if admission is not None and admission.role is Role.CONSUMER:
            self._check_runtime_class(event)
            self._free_root(admission, event)

    def post_create_container(self, event: ContainerEvent) -> None:
        """Rewrite the stored spec: from here on runc builds this container on its root."""
        admission = self._admission(event)
        if admission is None:
            return
        created = now_us()
        stored = self._runtime.stored(event.container_id)
        spec = parse_spec(stored.spec)
        if admission.role is Role.PROVIDER:
            new = oci.holding(spec, gate=self._gate)
        else:
            check_runtime(stored.runtime)
            new = self._on_root(spec, admission, event)
        self._runtime.replace_spec(event.container_id, json.dumps(new).encode())
        if admission.role is Role.CONSUMER:
            sandbox = oci.sandbox_pid(spec)
            marks = {"created": created, "swapped": now_us()}
            marks["sandbox"] = self._kernel.began(sandbox) if sandbox else 0
            # The start that follows at once tells of it.
            self._store.update(admission.root_uid, marks=marks, tell=False)

    def _on_root(self, spec: oci.Spec, admission: Admission, event: ContainerEvent) -> oci.Spec:
        root = self._free_root(admission, event)
        if root.record is None:
            message = f"root {root.uid} has no record"
            raise Refused(message)
        return oci.on_root(
            spec,
            root=root.host_path,
            container_id=event.container_id,
            admission=admission,
            image=root.record.image,
            gate=self._gate,
            folder=str(self._processes.folder(root.uid)),
            accounts=self._accounts(root, admission),
        )

    def start_container(self, event: ContainerEvent) -> None:
        """Prove where the container is, before its first instruction, and know its holder."""
        process = self._kernel.process(event.pid) if event.pid > 0 else None
        admission = self._admission(event)
        if admission is None or admission.role is Role.PROVIDER:
            # Its admission may have been replaced since its spec was rewritten.
            uid = self._store.root_on(process.root_device) if process else None
            if uid is not None:
                message = f"pod {event.pod_uid} is not admitted to root {uid} any more"
                raise Refused(message)
            return
        root = self._free_root(admission, event)
        if process is None or process.root_device != root.device:
            message = f"the container is not on root {root.uid}: it may not start"
            raise Refused(message)
        now = now_us()
        holder = Holder(
            event.pod_uid,
            event.pid,
            now // 1000,
            self._holders.namespace_of(process),
            event.container_id,
        )
        if admission.supervise:
            self._processes.container_starts(root.uid)
        # Of an earlier container of this pod, where it was one.
        marks = {"verified": now, "running": 0, "stopping": 0, "stopped": 0, "synced": 0}
        self._holders.hold(root.uid, holder, marks=marks, tell=False)
        self._untold.append(root.uid)

    def post_start_container(self, event: ContainerEvent) -> None:
        """Note when the command runs; a supervised one's gate says that itself."""
        admission = self._admission(event)
        if admission is None or admission.role is Role.PROVIDER or admission.supervise:
            return
        self._store.update(admission.root_uid, marks={"running": now_us()}, tell=False)
        self._untold.append(admission.root_uid)

    def answered(self) -> None:
        """Tell of what changed, now that the runtime does not wait for it any more."""
        untold, self._untold = self._untold, []
        for uid in untold:
            self._store.tell(uid)

    def _accounts(self, root: Root, admission: Admission) -> Accounts:
        """Read the kept root's own passwd and group, where anything is to be looked up in them."""
        if not (admission.gid_from_root or admission.groups_from_root):
            return Accounts()
        read = partial(self._kernel.read_below, Path(root.host_path), limit=MAX_BYTES)
        return Accounts(read("etc/passwd"), read("etc/group"))

    def _check_runtime_class(self, event: ContainerEvent) -> None:
        """Ask which runtime a class stands for; the default one costs no look-up."""
        if not event.runtime_handler:
            return
        try:
            runtime = self._runtime.stored(event.sandbox_id).runtime
        except AgentError:
            return  # a sandbox that is no container: the container's own record is seen next
        check_runtime(runtime)

    def _admission(self, event: ContainerEvent) -> Admission | None:
        found = self._store.admission(event.pod_uid)
        if found is None or found.container != event.container_name:
            return None
        same = (found.namespace, found.pod_name) == (event.pod_namespace, event.pod_name)
        return found if same else None

    def _free_root(self, admission: Admission, event: ContainerEvent) -> Root:
        root = self._store.get(admission.root_uid)
        if root.device is None or root.record is None or root.record.deleting:
            why = f": {root.problem.message}" if root.problem else ""
            message = f"root {root.uid} is not mounted{why}"
            raise Refused(message)
        if root.holder is None:
            return root
        # The end of the last holder may be known to the kernel and not yet to us. At the start the
        # scan would find this container itself, so there the word of the pidfd counts.
        left = self._holders.recheck(root.uid, without=event.pid)
        if left is not None:
            message = (
                f"root {root.uid} is in use by pod {left.pod_uid or 'unknown'} (process {left.pid})"
            )
            raise Refused(message)
        return self._store.get(root.uid)


def check_runtime(name: str) -> None:
    """Refuse a runtime that does not build its containers from root.path on the node.

    crun and others of runc's kind have runc's shim; Kata's and gVisor's shims have their own.
    """
    if name and name != _SHIM:
        message = f"RuntimeClassUnsupported: {name} does not build containers on a root of the node"
        raise Refused(message)


def parse_spec(raw: bytes) -> oci.Spec:
    """Read a stored spec; anything but an object is refused."""
    if len(raw) > _SPEC_LIMIT:
        message = "the runtime's spec is too long"
        raise Refused(message)
    try:
        spec = json.loads(raw)
    except (ValueError, RecursionError) as error:
        message = "the runtime's spec is not JSON"
        raise Refused(message) from error
    if not isinstance(spec, dict):
        message = "the runtime's spec is not an object"
        raise Refused(message)
    return spec
