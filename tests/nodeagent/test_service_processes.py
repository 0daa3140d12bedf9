"""StartProcess and StopProcess over the wire, with the real gate behind them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest

from nodeagent.model import ProcessState
from proto import nodeagent_pb2 as pb
from tests.nodeagent.serving import TIMEOUT, admit, code_of, ensure, start, stop
from tests.nodeagent.world import UID

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.nodeagent.serving import Rig
    from tests.nodeagent.warm import Warm

CODE = grpc.StatusCode


async def test_a_command_stops_and_starts_and_streams_tell(
    rig: Rig, warm: Callable[..., Warm]
) -> None:
    it = await asyncio.to_thread(warm)
    await asyncio.to_thread(it.running)
    stub = rig.stub()
    stream = stub.WatchRoots(pb.WatchRootsRequest(), timeout=TIMEOUT)
    pod = {"pod_uid": "pod-1"}
    await stub.StopProcess(stop(grace_ms=60_000, **pod))
    seen = await stream.read()
    while seen.root.process != pb.STOPPED:
        seen = await stream.read()
    assert seen.root.synced
    assert seen.root.holder.pid == it.container.pid
    times = seen.root.timeline
    assert times.pod_uid == "pod-1"
    assert 0 < times.verified_unix_us <= times.running_unix_us <= times.stopping_unix_us
    assert times.stopping_unix_us <= times.stopped_unix_us <= times.synced_unix_us
    assert (await stub.StopProcess(stop(**pod))).process == pb.STOPPED
    root = await stub.StartProcess(start(**pod))
    assert (root.process, root.synced) == (pb.RUNNING, False)
    root = await stub.StopProcess(stop(freeze=True, **pod))
    await asyncio.to_thread(it.until, ProcessState.FROZEN)
    assert (await stub.StartProcess(start(**pod))).process == pb.RUNNING
    assert (await stub.StartProcess(start(**pod))).process == pb.RUNNING


async def test_orders_for_nobody_say_so(rig: Rig, warm: Callable[..., Warm]) -> None:
    stub = rig.stub()
    for call in (stub.StartProcess(start()), stub.StopProcess(stop())):
        assert (await code_of(call))[0] is CODE.NOT_FOUND
    it = await asyncio.to_thread(warm)
    it.create()  # and its gate has not run yet
    pod = {"pod_uid": "pod-1"}
    for call in (stub.StartProcess(start(**pod)), stub.StopProcess(stop(**pod))):
        assert (await code_of(call))[0] is CODE.UNAVAILABLE
    for call in (stub.StartProcess(start(fence=0, **pod)), stub.StopProcess(stop(fence=0, **pod))):
        assert (await code_of(call))[0] is CODE.FAILED_PRECONDITION


@pytest.mark.parametrize(
    "request_",
    [
        start(uid="../x"),
        start(pod_uid=""),
        start(post_start=["x"] * 1001),
        start(post_start=["a\0b"]),
        stop(uid=""),
        stop(pod_uid="a/b"),
        stop(grace_ms=86_400_001),
        stop(pre_stop=["x" * 300_000]),
        admit(supervise=True),
        admit(supervise=True, init=True, role=pb.PROVIDER),
    ],
    ids=lambda request: type(request).__name__,
)
async def test_malformed_orders_are_refused(rig: Rig, request_: object) -> None:
    stub = rig.stub()
    calls = {
        pb.StartProcessRequest: stub.StartProcess,
        pb.StopProcessRequest: stub.StopProcess,
        pb.AdmitPodRequest: stub.AdmitPod,
    }
    assert (await code_of(calls[type(request_)](request_)))[0] is CODE.INVALID_ARGUMENT


async def test_a_supervised_pod_is_admitted_with_the_gate_s_folder(rig: Rig) -> None:
    rig.world.runtime.pull("img")
    stub = rig.stub()
    await stub.EnsureRoot(ensure())
    root = await stub.EnsureRoot(ensure())
    assert (root.process, root.HasField("timeline")) == (pb.PROCESS_STATE_UNSPECIFIED, False)
    await stub.AdmitPod(admit(supervise=True, init=True))
    assert (rig.world.paths.gate_folder(UID) / "agent.sock").is_socket()
