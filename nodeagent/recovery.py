"""What happens between the start of the program and its first call: folders, gate, records, mounts.

__main__ runs it in this order; agent.py does the work for each root.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import structlog

from nodeagent import records
from nodeagent.errors import AgentError, NotThereYet, RecordCorrupt
from nodeagent.model import Admission, Problem, Role
from nodeagent.paths import checked_id

if TYPE_CHECKING:
    from pathlib import Path

    from nodeagent.agent import Agent
    from nodeagent.doors import Kernel
    from nodeagent.paths import Paths

_log = structlog.get_logger()
_GATE_LIMIT = 16 * 1024 * 1024


def prepare(paths: Paths, kernel: Kernel) -> None:
    """Make the base folder's tree, and let mounts made in it be seen by the node."""
    kernel.make_dir(paths.base, 0o755)
    kernel.make_shared(paths.base)
    kernel.make_dir(paths.bin, 0o755)
    for folder in (paths.roots, paths.instances, paths.gates):
        kernel.make_dir(folder, 0o700)


def install_gate(source: Path, paths: Paths) -> Path:
    """Put the gate on the node under its digest: one that runs is never written to."""
    with source.open("rb") as file:
        content = file.read(_GATE_LIMIT)
    target = paths.gate(hashlib.sha256(content).hexdigest())
    if not target.is_file() or target.read_bytes() != content:
        records.write_file(target, content, mode=0o755)
    return target


def load(agent: Agent) -> None:
    """Read every record into the store; what cannot be read is a problem of that root alone."""
    agent.load_fence()
    for folder in sorted(agent.paths.roots.iterdir()):
        try:
            _load_one(agent, checked_id(folder.name))
        except AgentError as error:
            _log.error("root not loaded", root=folder.name, error=str(error))


def _load_one(agent: Agent, uid: str) -> None:
    admissions = {role: _admission(agent.paths, uid, role) for role in Role}
    try:
        record = records.read_record(agent.paths, uid)
    except RecordCorrupt as error:
        agent.store.update(uid, problem=Problem("RecordCorrupt", str(error)))
        raise
    consumer = admissions[Role.CONSUMER]
    if consumer is not None and consumer.supervise:
        agent.processes.admit(uid, anew=False)
    agent.store.update(
        uid,
        record=record,
        provider=admissions[Role.PROVIDER],
        consumer=consumer,
        host_path=str(agent.paths.rootfs(uid)),
        synced=record is not None and (consumer is None or record.synced_for == consumer.pod_uid),
    )


def _admission(paths: Paths, uid: str, role: Role) -> Admission | None:
    try:
        return records.read_admission(paths, uid, role)
    except RecordCorrupt as error:
        # Not admitted is the safe side: the controller announces the pod again.
        _log.error("admission ignored", root=uid, role=role.value, error=str(error))
        return None


def resume(agent: Agent) -> bool:
    """Mount what is not mounted, go on with cut deletes; False: the runtime was away."""
    complete = True
    for root in agent.store.known():
        if root.problem is not None and root.problem.reason == "RecordCorrupt":
            continue
        try:
            agent.resume(root.uid)
        except NotThereYet as error:
            complete = False
            _log.warning("root waits for the runtime", root=root.uid, error=str(error))
        except Exception as error:  # noqa: BLE001 - one bad root must not stop the others
            _log.error("root not recovered", root=root.uid, error=str(error))
        agent.processes.recover(root.uid)
    return complete
