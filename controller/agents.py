"""The node agents: the only grpc.

One channel and one watch stream a node; calls with a deadline and the fence.

What the streams say goes into the `store`; `apply` makes the calls; nothing is retried here but the
stream itself.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from controller import names
from controller.errors import Absent, Busy, ControllerError, NodeFailed, NotYet, Rejected
from controller.model import Role
from controller.words import MAX_TEXT, read_root, read_status
from proto import nodeagent_pb2 as pb
from proto import nodeagent_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.doors import Admission, RootOrder, StopOrder
    from controller.model import Root
    from controller.store import Store

log = logging.getLogger(__name__)
CALL_SECONDS = 5.0
# Making a root unpacks and mounts; a forced unmount of a busy disk takes its time.
SLOW_CALL_SECONDS = 30.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
MAX_ROOTS = 10_000
MAX_CALLS = 64
OPTIONS = (
    ("grpc.ssl_target_name_override", names.AGENT_SERVER_NAME),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.enable_http_proxy", 0),
)
# The inverse of the agent's table; a code that is not here is the node's failure.
CODES: dict[grpc.StatusCode, type[ControllerError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: Rejected,
    grpc.StatusCode.PERMISSION_DENIED: Rejected,
    grpc.StatusCode.UNAVAILABLE: NotYet,
    grpc.StatusCode.DEADLINE_EXCEEDED: NotYet,
    grpc.StatusCode.CANCELLED: NotYet,
    grpc.StatusCode.ABORTED: Busy,
    grpc.StatusCode.FAILED_PRECONDITION: NodeFailed,
    grpc.StatusCode.NOT_FOUND: Absent,
    grpc.StatusCode.INTERNAL: NodeFailed,
}


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM texts: the bundle of authorities, our certificate and its key."""

    authorities: bytes
    certificate: bytes
    key: bytes


@dataclass(slots=True)
class Line:
    """One node's channel and the task that reads its stream."""

    address: str
    channel: grpc.aio.Channel
    stub: Any
    reader: asyncio.Task[None]


class Agents:
    """`point` says where an agent is; its stream is then kept open for as long as it is there."""

    def __init__(
        self, store: Store, fence: Callable[[], int], monotonic: Callable[[], float]
    ) -> None:
        self._store, self._fence, self._monotonic = store, fence, monotonic
        self._tls: Tls | None = None
        self._addresses: dict[str, str] = {}
        self._lines: dict[str, Line] = {}
        self._calls = asyncio.Semaphore(MAX_CALLS)
        self._closing: set[asyncio.Task[None]] = set()

    def use(self, tls: Tls) -> None:
        """New certificates: every line is made anew with them, one watch snapshot each."""
        if tls == self._tls:
            return
        self._tls = tls
        for node, address in self._addresses.items():
            self._open(node, address)

    def point(self, node: str, address: str) -> None:
        """The agent of this node is there; empty: nowhere."""
        if self._addresses.get(node, "") == address:
            return
        if not address:
            self._addresses.pop(node, None)
            self._close(node)
            return
        self._addresses[node] = address
        self._store.expect_agent(node, self._monotonic())
        self._open(node, address)

    async def close(self) -> None:
        """Ends all lines."""
        for node in list(self._lines):
            self._close(node)
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def ensure_root(self, node: str, order: RootOrder) -> Root:
        """The root, mounted."""
        request = pb.EnsureRootRequest(
            fence=self._fence(),
            uid=order.uid,
            namespace=order.namespace,
            name=order.name,
            image=order.image,
            image_id=order.image_id,
        )
        return read_root(await self._call(node, "EnsureRoot", request, SLOW_CALL_SECONDS))

    async def sync(self, node: str, uid: str) -> Root:
        """The root, synced."""
        request = pb.RootRequest(fence=self._fence(), uid=uid)
        return read_root(await self._call(node, "Sync", request, SLOW_CALL_SECONDS))

    async def delete_root(self, node: str, uid: str) -> None:
        """Nothing of the root is left."""
        request = pb.RootRequest(fence=self._fence(), uid=uid)
        await self._call(node, "DeleteRoot", request, SLOW_CALL_SECONDS)

    async def admit(self, node: str, admission: Admission) -> None:
        """The agent knows the pod."""
        is_provider = admission.role is Role.PROVIDER
        request = pb.AdmitPodRequest(
            fence=self._fence(),
            root_uid=admission.root_uid,
            role=pb.PROVIDER if is_provider else pb.CONSUMER,
            namespace=admission.namespace,
            pod_name=admission.pod_name,
            pod_uid=admission.pod_uid,
            container=admission.container,
            init=admission.init,
            entrypoint_from_image=admission.entrypoint_from_image,
            cmd_from_image=admission.cmd_from_image,
            gid_from_root=admission.gid_from_root,
            groups_from_root=admission.groups_from_root,
            supervise=admission.supervise,
        )
        await self._call(node, "AdmitPod", request, CALL_SECONDS)

    async def start_process(
        self, node: str, uid: str, pod_uid: str, post_start: tuple[str, ...]
    ) -> Root:
        """The command runs, or its hook does."""
        request = pb.StartProcessRequest(
            fence=self._fence(), uid=uid, pod_uid=pod_uid, post_start=post_start
        )
        return read_root(await self._call(node, "StartProcess", request, CALL_SECONDS))

    async def stop_process(self, node: str, order: StopOrder) -> Root:
        """The command is stopped or frozen, or on its way."""
        request = pb.StopProcessRequest(
            fence=self._fence(),
            uid=order.uid,
            pod_uid=order.pod_uid,
            grace_ms=order.grace_ms,
            pre_stop=order.pre_stop,
            freeze=order.freeze,
        )
        return read_root(await self._call(node, "StopProcess", request, SLOW_CALL_SECONDS))

    async def _call(self, node: str, method: str, request: Any, seconds: float) -> Any:
        line = self._lines.get(node)
        if line is None:
            raise NotYet(f"{method} on {node}: no connection to its agent")
        try:
            async with self._calls:
                return await getattr(line.stub, method)(request, timeout=seconds)
        except grpc.RpcError as error:
            raise _translate(error, f"{method} on {node}") from error

    def _open(self, node: str, address: str) -> None:
        self._close(node)
        if self._tls is None:
            return
        credentials = grpc.ssl_channel_credentials(
            self._tls.authorities, self._tls.key, self._tls.certificate
        )
        channel = grpc.aio.secure_channel(address, credentials, options=OPTIONS)
        # The generated stub has no types.
        stub = nodeagent_pb2_grpc.NodeAgentStub(channel)  # type: ignore[no-untyped-call]
        reader = asyncio.create_task(self._read(node, stub), name=f"agent of {node}")
        self._lines[node] = Line(address, channel, stub, reader)

    def _close(self, node: str) -> None:
        line = self._lines.pop(node, None)
        if line is None:
            return
        line.reader.cancel()
        self._store.agent_silent(node, self._monotonic())
        task = asyncio.create_task(_end(line))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _read(self, node: str, stub: Any) -> None:
        """The stream, again and again."""
        pause = FIRST_PAUSE
        while True:
            try:
                self._store.begin_snapshot(node, self._monotonic())
                async for event in stub.WatchRoots(pb.WatchRootsRequest(), wait_for_ready=True):
                    if self._take(node, event):
                        pause = FIRST_PAUSE
            except grpc.RpcError as error:
                log.info("%s", _translate(error, f"WatchRoots on {node}"))
            finally:
                self._store.agent_silent(node, self._monotonic())
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    def _take(self, node: str, event: Any) -> bool:
        """One event into the store; true when the snapshot is complete."""
        if event.type == pb.WatchEvent.NODE and event.node.node == node:
            self._store.put_agent(node, read_status(event.node))
        elif event.type == pb.WatchEvent.NODE:
            log.error("the agent at node %s calls itself %.200r", node, event.node.node)
        elif event.type == pb.WatchEvent.ROOT:
            word = self._store.word(node)
            if event.root.uid and word and len(word.roots) < MAX_ROOTS:
                self._store.put_root(node, read_root(event.root))
        elif event.type == pb.WatchEvent.ROOT_DELETED:
            self._store.drop_root(node, event.root.uid)
        elif event.type == pb.WatchEvent.SNAPSHOT_END:
            self._store.end_snapshot(node)
            return True
        return False


async def _end(line: Line) -> None:
    with suppress(asyncio.CancelledError):
        await line.reader
    await line.channel.close(grace=1.0)


def _translate(error: grpc.RpcError, what: str) -> ControllerError:
    code, details = error.code(), str(error.details() or "")[:MAX_TEXT]
    return CODES.get(code, NodeFailed)(f"{what}: {details or code.name}")
