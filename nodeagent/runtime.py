"""The clients of containerd and its CRI: images, pinned layers, stored specs.

Answers are parsed by answers.py; every call has a deadline.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import grpc
from google.protobuf.empty_pb2 import Empty

from nodeagent.answers import parse_image, parse_lower, parse_stop_signal
from nodeagent.errors import AgentError, Impossible, NotThereYet
from nodeagent.model import Image, RuntimeVersion, Stored
from proto.vendor import containers_pb2, cri_pb2, leases_pb2, snapshots_pb2

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from google.protobuf.message import Message

    _Call = Callable[..., Message]

_Reply = TypeVar("_Reply", bound="Message")

_NAMESPACE = (("containerd-namespace", "k8s.io"),)
_SNAPSHOTTER = "overlayfs"
_KEY_PREFIX = "stoppablecontainer-"
_GC_ROOT = "containerd.io/gc.root"
_EPOCH = "1970-01-01T00:00:00Z"  # any time will do: the label's presence is what counts
_SLOW = 20.0  # seconds, calls that may wait for disks
_QUICK = 0.9  # seconds; two of these must fit into the 2 s that NRI gives a plugin
_MAX_MESSAGE = 16 * 1024 * 1024
_MAX_NAME = 200
_METADATA = "io.cri-containerd.container.metadata"  # what the CRI keeps of a container


class Containerd:
    """One containerd, over its socket."""

    def __init__(self, socket: Path) -> None:
        """Open the channel; nothing is connected before the first call."""
        options = [
            ("grpc.max_receive_message_length", _MAX_MESSAGE),
            ("grpc.enable_http_proxy", 0),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]
        self._channel = grpc.insecure_channel(f"unix://{socket}", options=options)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def _call(
        self, method: str, request: Message, reply: type[_Reply], timeout: float = _SLOW
    ) -> _Reply:
        call = self._channel.unary_unary(
            method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=reply.FromString,
        )
        answer: _Reply = call(request, timeout=timeout, metadata=_NAMESPACE)
        return answer

    def version(self) -> RuntimeVersion:
        """Ask the runtime who it is."""
        try:
            answer = self._call(
                "/runtime.v1.RuntimeService/Version",
                cri_pb2.VersionRequest(),
                cri_pb2.VersionResponse,
                timeout=3.0,
            )
        except grpc.RpcError as error:
            raise _translated("ask the runtime for its version", error) from error
        return RuntimeVersion(answer.runtime_name[:80], answer.runtime_version[:80])

    def image(self, image_id: str) -> Image:
        """Resolve an image that the runtime has."""
        request = cri_pb2.ImageStatusRequest(image=cri_pb2.ImageSpec(image=image_id), verbose=True)
        try:
            answer = self._call(
                "/runtime.v1.ImageService/ImageStatus", request, cri_pb2.ImageStatusResponse
            )
        except grpc.RpcError as error:
            raise _translated(f"find image {image_id}", error) from error
        if not answer.image.id:
            message = f"the runtime does not have image {image_id}"
            raise Impossible("LayersMissing", message)
        return parse_image(answer.image.id, answer.info.get("info", ""))

    def pin(self, uid: str, chain_id: str) -> tuple[Path, ...]:
        """Keep the layers by a View that has a gc.root label and a lease: each alone is enough."""
        key = _KEY_PREFIX + uid
        try:
            self._lease(key)
            with suppress_code(grpc.StatusCode.ALREADY_EXISTS):
                view = snapshots_pb2.ViewSnapshotRequest(
                    snapshotter=_SNAPSHOTTER, key=key, parent=chain_id, labels={_GC_ROOT: _EPOCH}
                )
                self._call(
                    "/containerd.services.snapshots.v1.Snapshots/View",
                    view,
                    snapshots_pb2.ViewSnapshotResponse,
                )
            self._check_parent(key, chain_id)
            mounts = self._call(
                "/containerd.services.snapshots.v1.Snapshots/Mounts",
                snapshots_pb2.MountsRequest(snapshotter=_SNAPSHOTTER, key=key),
                snapshots_pb2.MountsResponse,
            )
        except grpc.RpcError as error:
            raise _translated(f"pin the layers {chain_id}", error) from error
        lower = parse_lower(mounts.mounts)
        if missing := [path for path in lower if not path.is_dir()]:
            message = f"layer {missing[0]} of {chain_id} is not on this node"
            raise Impossible("LayersMissing", message)
        return lower

    def _lease(self, key: str) -> None:
        with suppress_code(grpc.StatusCode.ALREADY_EXISTS):
            self._call(
                "/containerd.services.leases.v1.Leases/Create",
                leases_pb2.CreateRequest(id=key),
                leases_pb2.CreateResponse,
            )
        # Named before it exists, so that no moment is without a pin.
        resource = leases_pb2.Resource(id=key, type=f"snapshots/{_SNAPSHOTTER}")
        with suppress_code(grpc.StatusCode.ALREADY_EXISTS):
            self._call(
                "/containerd.services.leases.v1.Leases/AddResource",
                leases_pb2.AddResourceRequest(id=key, resource=resource),
                Empty,
            )

    def _check_parent(self, key: str, chain_id: str) -> None:
        answer = self._call(
            "/containerd.services.snapshots.v1.Snapshots/Stat",
            snapshots_pb2.StatSnapshotRequest(snapshotter=_SNAPSHOTTER, key=key),
            snapshots_pb2.StatSnapshotResponse,
        )
        if answer.info.parent != chain_id:
            message = f"the pinned layers are {answer.info.parent}, the record says {chain_id}"
            raise Impossible("LayersMissing", message)

    def unpin(self, uid: str) -> None:
        """Let the layers go; fine when they are not pinned."""
        key = _KEY_PREFIX + uid
        try:
            with suppress_code(grpc.StatusCode.NOT_FOUND):
                self._call(
                    "/containerd.services.snapshots.v1.Snapshots/Remove",
                    snapshots_pb2.RemoveSnapshotRequest(snapshotter=_SNAPSHOTTER, key=key),
                    Empty,
                )
            with suppress_code(grpc.StatusCode.NOT_FOUND):
                self._call(
                    "/containerd.services.leases.v1.Leases/Delete",
                    leases_pb2.DeleteRequest(id=key),
                    Empty,
                )
        except grpc.RpcError as error:
            raise _translated(f"unpin the layers of {uid}", error) from error

    def _container(self, container_id: str) -> containers_pb2.Container:
        try:
            answer = self._call(
                "/containerd.services.containers.v1.Containers/Get",
                containers_pb2.GetContainerRequest(id=container_id),
                containers_pb2.GetContainerResponse,
                timeout=_QUICK,
            )
        except grpc.RpcError as error:
            raise _translated(f"read the spec of container {container_id}", error) from error
        return answer.container

    def stored(self, container_id: str) -> Stored:
        """Read what is stored of a container, or of a sandbox."""
        container = self._container(container_id)
        return Stored(container.spec.value, container.runtime.name[:_MAX_NAME])

    def stop_signal(self, container_id: str) -> int:
        """Say with which signal a container's command is asked to end."""
        return parse_stop_signal(self._container(container_id).extensions[_METADATA].value)

    def exec(self, container_id: str, command: tuple[str, ...], seconds: float) -> int:
        """Run a command in a container, to its end or to that of the time; its exit code."""
        request = cri_pb2.ExecSyncRequest(
            container_id=container_id, cmd=command, timeout=math.ceil(seconds)
        )
        method = "/runtime.v1.RuntimeService/ExecSync"
        try:
            answer = self._call(method, request, cri_pb2.ExecSyncResponse, timeout=seconds)
        except grpc.RpcError as error:
            raise _translated(f"run a command in container {container_id}", error) from error
        return answer.exit_code

    def replace_spec(self, container_id: str, spec: bytes) -> None:
        """Store another OCI spec for a container that was not started yet, in one update."""
        request = containers_pb2.UpdateContainerRequest()
        request.container.id = container_id
        request.container.spec.type_url = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
        request.container.spec.value = spec
        request.update_mask.paths.append("spec")
        try:
            self._call(
                "/containerd.services.containers.v1.Containers/Update",
                request,
                containers_pb2.UpdateContainerResponse,
                timeout=_QUICK,
            )
        except grpc.RpcError as error:
            raise _translated(f"store the spec of container {container_id}", error) from error


class suppress_code(suppress):  # noqa: N801 - reads as contextlib.suppress does
    """Pass over one status code: what was asked for is so already."""

    def __init__(self, code: grpc.StatusCode) -> None:
        """Name the code."""
        super().__init__()
        self._code = code

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        """Swallow a call's error of that code only."""
        return isinstance(error, grpc.RpcError) and _code(error) is self._code


def _code(error: grpc.RpcError) -> grpc.StatusCode:
    return error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN


def _translated(act: str, error: grpc.RpcError) -> AgentError:
    code = _code(error)
    detail = (error.details() or "") if isinstance(error, grpc.Call) else str(error)
    message = f"{act}: {detail[:500]} ({code.name})"
    away = (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    )
    if code in away:
        return NotThereYet(message)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return Impossible("RuntimeUnsupported", message)
    return Impossible("LayersMissing", message)
