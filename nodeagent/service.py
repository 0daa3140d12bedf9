"""The gRPC service: request -> model, one call of agent.py, model -> reply, error -> code.

server.py puts it behind TLS and asks authorise() first; nothing here knows a path or a mount.
"""
# ruff: noqa: N802 - the methods have the names of the .proto

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import grpc
import structlog

from nodeagent import errors, metrics
from nodeagent.messages import (
    bounded_image,
    from_node,
    from_root,
    to_admission,
    to_command,
    to_grace,
    to_record,
)
from proto import nodeagent_pb2 as pb
from proto import nodeagent_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from nodeagent.agent import Agent
    from nodeagent.model import Root
    from nodeagent.store import Store

    Context = grpc.aio.ServicerContext[Any, Any]

_Result = TypeVar("_Result")
_log = structlog.get_logger()

CODES: dict[type[errors.AgentError], grpc.StatusCode] = {
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotThereYet: grpc.StatusCode.UNAVAILABLE,
    errors.Busy: grpc.StatusCode.ABORTED,
    errors.Refused: grpc.StatusCode.ABORTED,
    errors.StaleFence: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Impossible: grpc.StatusCode.FAILED_PRECONDITION,
    errors.RecordCorrupt: grpc.StatusCode.FAILED_PRECONDITION,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.MountError: grpc.StatusCode.INTERNAL,
}
_DEBUG_LIMIT = 1024 * 1024


class NodeAgentService(pb_grpc.NodeAgentServicer):
    """The calls; each ends on a thread that finishes its work even when the caller gives up."""

    def __init__(self, agent: Agent, store: Store, debug: Callable[[], object]) -> None:
        """Wire the use cases; streams end when stop_streams() is called."""
        self._agent, self._store, self._debug = agent, store, debug
        self._stopping = asyncio.Event()
        self._threads = ThreadPoolExecutor(16, thread_name_prefix="call")
        # A big tree takes minutes; it may not keep the others waiting.
        self._slow = ThreadPoolExecutor(4, thread_name_prefix="delete")
        # Nor may anything that waits for a disk keep a start waiting.
        self._warm = ThreadPoolExecutor(16, thread_name_prefix="warm")

    def stop_streams(self) -> None:
        """End all streams, so that the server can stop at once."""
        self._stopping.set()

    async def _run(
        self,
        context: Context,
        act: Callable[[], _Result],
        fence: int | None = None,
        pool: ThreadPoolExecutor | None = None,
    ) -> _Result:
        def fenced() -> _Result:
            if fence is not None:
                self._agent.check_fence(fence)
            return act()

        work = asyncio.get_running_loop().run_in_executor(pool or self._threads, fenced)
        try:
            return await asyncio.shield(work)
        except Exception as error:  # noqa: BLE001 - here errors become replies
            await _abort(context, error)

    async def EnsureRoot(self, request: pb.EnsureRootRequest, context: Context) -> pb.Root:
        """Make a root exist and mounted."""

        def act() -> Root:
            return self._agent.ensure(to_record(request), bounded_image(request.image_id))

        return from_root(await self._run(context, act, request.fence))

    async def ReleaseRoot(self, request: pb.RootRequest, context: Context) -> pb.Root:
        """Unmount a root."""
        return from_root(
            await self._run(context, lambda: self._agent.release(request.uid), request.fence)
        )

    async def DeleteRoot(self, request: pb.RootRequest, context: Context) -> pb.DeleteRootResponse:
        """Remove a root and its data."""
        await self._run(context, lambda: self._agent.delete(request.uid), request.fence, self._slow)
        return pb.DeleteRootResponse()

    async def GetRoot(self, request: pb.GetRootRequest, context: Context) -> pb.Root:
        """Show one root."""
        return from_root(await self._run(context, lambda: self._agent.get(request.uid)))

    async def ListRoots(
        self, _request: pb.ListRootsRequest, _context: Context
    ) -> pb.ListRootsResponse:
        """Show all roots."""
        roots = [from_root(root) for root in self._store.roots()]
        return pb.ListRootsResponse(node=from_node(self._store.node), roots=roots)

    async def AdmitPod(self, request: pb.AdmitPodRequest, context: Context) -> pb.AdmitPodResponse:
        """Announce a pod."""
        await self._run(context, lambda: self._agent.admit(to_admission(request)), request.fence)
        return pb.AdmitPodResponse()

    async def Sync(self, request: pb.RootRequest, context: Context) -> pb.Root:
        """Write a root to disk."""
        return from_root(
            await self._run(context, lambda: self._agent.sync(request.uid), request.fence)
        )

    async def StartProcess(self, request: pb.StartProcessRequest, context: Context) -> pb.Root:
        """Start the command of a supervised container."""

        def act() -> Root:
            hook = to_command(request.post_start, "post_start")
            return self._agent.start_process(request.uid, request.pod_uid, hook)

        return from_root(await self._run(context, act, request.fence, self._warm))

    async def StopProcess(self, request: pb.StopProcessRequest, context: Context) -> pb.Root:
        """Stop the command of a supervised container."""

        def act() -> Root:
            hook = to_command(request.pre_stop, "pre_stop")
            seconds = to_grace(request.grace_ms)
            uid, pod = request.uid, request.pod_uid
            return self._agent.stop_process(uid, pod, seconds, hook, freeze=request.freeze)

        return from_root(await self._run(context, act, request.fence, self._warm))

    async def Debug(self, _request: pb.DebugRequest, context: Context) -> pb.DebugResponse:
        """Show what the agent sees, for people."""
        text = json.dumps(await self._run(context, self._debug), default=str, indent=1)
        return pb.DebugResponse(json=text[:_DEBUG_LIMIT])

    async def WatchRoots(
        self, _request: pb.WatchRootsRequest, _context: Context
    ) -> AsyncIterator[pb.WatchEvent]:
        """Stream what this node has, then every change; a slow reader gets the latest only."""
        loop, wake = asyncio.get_running_loop(), asyncio.Event()
        changed: dict[str | None, None] = {}  # a set that keeps its order

        def note(uid: str | None) -> None:
            changed[uid] = None
            wake.set()

        def tell(uid: str | None) -> None:
            loop.call_soon_threadsafe(note, uid)

        stop = self._store.listen(tell)
        ended = asyncio.ensure_future(self._stopping.wait())
        try:
            for event in self._snapshot():
                yield event
            while not self._stopping.is_set():
                waiting = asyncio.ensure_future(wake.wait())
                await asyncio.wait((waiting, ended), return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                wake.clear()
                batch, changed = changed, {}
                for uid in batch:
                    yield self._change(uid)
        finally:
            stop()
            ended.cancel()

    def _snapshot(self) -> list[pb.WatchEvent]:
        roots = [pb.WatchEvent(type="ROOT", root=from_root(root)) for root in self._store.roots()]
        return [self._change(None), *roots, pb.WatchEvent(type="SNAPSHOT_END")]

    def _change(self, uid: str | None) -> pb.WatchEvent:
        if uid is None:
            return pb.WatchEvent(type="NODE", node=from_node(self._store.node))
        root = self._store.get(uid)
        if root.record is None and root.problem is None:
            return pb.WatchEvent(type="ROOT_DELETED", root=pb.Root(uid=uid))
        return pb.WatchEvent(type="ROOT", root=from_root(root))


async def _abort(context: Context, error: Exception) -> NoReturn:
    code = grpc.StatusCode.INTERNAL
    if isinstance(error, errors.AgentError):
        code = CODES[type(error)]
    metrics.RPC_ERRORS.labels(code.name).inc()
    if isinstance(error, errors.AgentError):
        _log.warning("call failed", code=code.name, error=str(error))
        await context.abort(code, str(error))
    _log.error("call failed by a bug", code=code.name, exc_info=error)
    await context.abort(code, f"{type(error).__name__}: {error}")
