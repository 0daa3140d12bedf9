"""What an agent says, from protobuf to our nouns: every text and number bounded.

`agents` calls it for each answer and each event of a stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.model import AgentStatus, Process, Root, Timeline
from proto import nodeagent_pb2 as pb

if TYPE_CHECKING:
    from typing import Any

MAX_TEXT = 2000
MAX_ID = 256
# The year 2200, in microseconds: no clock of a node is that wrong by accident.
LAST_MOMENT = 7_258_118_400_000_000

PROCESSES = {
    pb.PROCESS_STATE_UNSPECIFIED: Process.NONE,
    pb.CONNECTING: Process.CONNECTING,
    pb.STOPPED: Process.STOPPED,
    pb.STARTING: Process.STARTING,
    pb.RUNNING: Process.RUNNING,
    pb.STOPPING: Process.STOPPING,
    pb.FROZEN: Process.FROZEN,
}


def read_root(root: Any) -> Root:
    """The agent's root as ours, every text bounded."""
    return Root(
        uid=root.uid[:MAX_ID],
        namespace=root.namespace[:MAX_ID],
        name=root.name[:MAX_ID],
        image=root.image[:MAX_TEXT],
        image_digest=root.image_digest[:MAX_ID],
        mounted=root.mounted,
        held=root.HasField("holder"),
        holder=root.holder.pod_uid[:MAX_ID],
        synced=root.synced,
        host_path=root.host_path[:MAX_TEXT],
        admitted_provider=root.admitted_provider_uid[:MAX_ID],
        admitted_consumer=root.admitted_consumer_uid[:MAX_ID],
        problem_reason=root.problem_reason[:MAX_ID],
        problem_message=root.problem_message[:MAX_TEXT],
        # A word of a newer agent is nothing that may be relied on.
        process=PROCESSES.get(root.process, Process.CONNECTING),
        timeline=read_timeline(root.timeline),
    )


def read_timeline(said: Any) -> Timeline:
    """The agent's times; what cannot be one is not known."""
    return Timeline(
        pod=said.pod_uid[:MAX_ID],
        sandbox=_moment(said.sandbox_unix_us),
        created=_moment(said.created_unix_us),
        swapped=_moment(said.swapped_unix_us),
        verified=_moment(said.verified_unix_us),
        running=_moment(said.running_unix_us),
        stopping=_moment(said.stopping_unix_us),
        stopped=_moment(said.stopped_unix_us),
        synced=_moment(said.synced_unix_us),
    )


def _moment(microseconds: int) -> int:
    return microseconds if 0 < microseconds <= LAST_MOMENT else 0


def read_status(status: Any) -> AgentStatus:
    """The agent's word about its node, every text bounded."""
    return AgentStatus(
        ready=status.ready, reason=status.reason[:MAX_ID], message=status.message[:MAX_TEXT]
    )
