"""The protobuf messages as the agent's own types, and back; what comes in is checked here.

service.py calls it for every request and reply; nothing else reads protobuf of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nodeagent import errors
from nodeagent.model import Admission, Image, NodeStatus, ProcessState, Record, Role, Root, Timeline
from nodeagent.paths import checked_id
from proto import nodeagent_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROLES = {pb.PROVIDER: Role.PROVIDER, pb.CONSUMER: Role.CONSUMER}
_PROCESS = {
    ProcessState.NONE: pb.PROCESS_STATE_UNSPECIFIED,
    ProcessState.CONNECTING: pb.CONNECTING,
    ProcessState.STOPPED: pb.STOPPED,
    ProcessState.STARTING: pb.STARTING,
    ProcessState.RUNNING: pb.RUNNING,
    ProcessState.STOPPING: pb.STOPPING,
    ProcessState.FROZEN: pb.FROZEN,
}
_NAME, _IMAGE, _NAMESPACE = 253, 1024, 63
_WORDS, _WORDS_LENGTH = 1000, 256 * 1024  # of a hook; etcd takes no pod that is much longer
_DAY_MS = 24 * 60 * 60 * 1000


def _bounded(text: str, field: str, limit: int, *, empty: bool = False) -> str:
    if len(text) > limit or (not text and not empty) or not text.isprintable():
        message = f"{field} must have 1 to {limit} printable characters"
        raise errors.InvalidRequest(message)
    return text


def to_admission(request: pb.AdmitPodRequest) -> Admission:
    """Check and convert; a role that we do not know is refused."""
    if request.role not in _ROLES:
        message = "role must be PROVIDER or CONSUMER"
        raise errors.InvalidRequest(message)
    if request.supervise and not (request.init and request.role == pb.CONSUMER):
        message = "supervise is for a CONSUMER with init: the gate must be its first process"
        raise errors.InvalidRequest(message)
    return Admission(
        root_uid=checked_id(request.root_uid),
        role=_ROLES[request.role],
        namespace=_bounded(request.namespace, "namespace", _NAMESPACE),
        pod_name=_bounded(request.pod_name, "pod_name", _NAME),
        pod_uid=checked_id(request.pod_uid),
        container=_bounded(request.container, "container", _NAMESPACE),
        init=request.init,
        entrypoint_from_image=request.entrypoint_from_image,
        cmd_from_image=request.cmd_from_image,
        gid_from_root=request.gid_from_root,
        groups_from_root=request.groups_from_root,
        supervise=request.supervise,
    )


def to_record(request: pb.EnsureRootRequest) -> Record:
    """Check and convert; the image is filled in by the agent."""
    return Record(
        uid=checked_id(request.uid),
        namespace=_bounded(request.namespace, "namespace", _NAMESPACE),
        name=_bounded(request.name, "name", _NAME),
        image_name=_bounded(request.image, "image", _IMAGE, empty=True),
        image=Image("", ""),
    )


def bounded_image(image_id: str) -> str:
    """Check an image's id, which may be empty."""
    return _bounded(image_id, "image_id", _IMAGE, empty=True)


def to_command(words: Sequence[str], field: str) -> tuple[str, ...]:
    """Check a hook's command."""
    command = tuple(words)
    whole = sum(len(word) + 1 for word in command)
    if len(command) > _WORDS or whole > _WORDS_LENGTH or any("\0" in word for word in command):
        message = f"{field} must have at most {_WORDS} words of {_WORDS_LENGTH} characters in all"
        raise errors.InvalidRequest(message)
    return command


def to_grace(milliseconds: int) -> float:
    """Check a grace and turn it into seconds."""
    if milliseconds > _DAY_MS:
        message = f"grace_ms must be at most {_DAY_MS}, a day"
        raise errors.InvalidRequest(message)
    return milliseconds / 1000


def _from_timeline(timeline: Timeline) -> pb.Timeline:
    return pb.Timeline(
        pod_uid=timeline.pod_uid,
        sandbox_unix_us=timeline.sandbox,
        created_unix_us=timeline.created,
        swapped_unix_us=timeline.swapped,
        verified_unix_us=timeline.verified,
        running_unix_us=timeline.running,
        stopping_unix_us=timeline.stopping,
        stopped_unix_us=timeline.stopped,
        synced_unix_us=timeline.synced,
    )


def from_root(root: Root) -> pb.Root:
    """Convert a root to its message."""
    record = root.record
    message = pb.Root(
        uid=root.uid,
        mounted=root.device is not None,
        synced=root.synced,
        host_path=root.host_path,
        admitted_provider_uid=root.provider.pod_uid if root.provider else "",
        admitted_consumer_uid=root.consumer.pod_uid if root.consumer else "",
        problem_reason=root.problem.reason if root.problem else "",
        problem_message=root.problem.message if root.problem else "",
    )
    if record is not None:
        message.namespace, message.name = record.namespace, record.name
        message.image, message.image_digest = record.image_name, record.image.digest
        message.chain_id = record.image.chain_id
    message.process = _PROCESS[root.process]
    if root.timeline.pod_uid:
        message.timeline.CopyFrom(_from_timeline(root.timeline))
    if root.holder is not None:
        message.holder.pod_uid, message.holder.pid = root.holder.pod_uid, root.holder.pid
        message.holder.since_unix_ms = root.holder.since_unix_ms
    return message


def from_node(node: NodeStatus) -> pb.NodeStatus:
    """Convert the node's state to its message."""
    return pb.NodeStatus(
        node=node.node,
        ready=node.ready,
        reason=node.reason,
        message=node.message,
        runtime=node.runtime,
    )
