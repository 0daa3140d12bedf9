"""The service over real gRPC and TLS: codes, fence, who may call, streams, certificates."""

from __future__ import annotations

import asyncio
import errno
import json

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from nodeagent.errors import AgentError, MountError
from nodeagent.model import NodeStatus
from nodeagent.server import ALLOWED, CONTROLLER, READINESS
from nodeagent.service import CODES
from proto import nodeagent_pb2 as pb
from proto import nodeagent_pb2_grpc as pb_grpc
from tests.nodeagent.certificates import Authority
from tests.nodeagent.serving import POD, TIMEOUT, Rig, admit, code_of, ensure, root
from tests.nodeagent.world import UID


async def test_a_root_s_life_over_the_wire(rig: Rig) -> None:
    rig.world.runtime.pull("img")
    stub = rig.stub()
    made = await stub.EnsureRoot(ensure(), timeout=TIMEOUT)
    assert made.mounted
    assert (made.uid, made.namespace, made.name, made.image) == (UID, "ns", "app", "busybox")
    assert (made.image_digest, made.chain_id) == ("img", "sha256:chain-img")
    assert made.host_path == str(rig.world.paths.rootfs(UID))
    await stub.AdmitPod(admit(), timeout=TIMEOUT)
    assert (await stub.GetRoot(pb.GetRootRequest(uid=UID))).admitted_consumer_uid == POD
    assert (await stub.Sync(root())).synced
    listed = await stub.ListRoots(pb.ListRootsRequest())
    assert [r.uid for r in listed.roots] == [UID]
    assert not (await stub.ReleaseRoot(root())).mounted
    document = json.loads((await stub.Debug(pb.DebugRequest())).json)
    assert document["roots"][0]["uid"] == UID
    for _ in range(2):
        await stub.DeleteRoot(root())
    assert (await code_of(stub.GetRoot(pb.GetRootRequest(uid=UID))))[0] is grpc.StatusCode.NOT_FOUND


def test_every_error_has_a_code_and_every_method_a_caller() -> None:
    assert set(CODES) == set(AgentError.__subclasses__())
    names = {m.name for m in pb.DESCRIPTOR.services_by_name["NodeAgent"].methods}
    assert {path.rpartition("/")[2] for path in ALLOWED} == names


async def test_errors_become_the_codes_of_the_table(rig: Rig) -> None:
    world, stub = rig.world, rig.stub()
    assert (await code_of(stub.EnsureRoot(ensure())))[0] is grpc.StatusCode.FAILED_PRECONDITION
    world.runtime.away = True
    assert (await code_of(stub.EnsureRoot(ensure())))[0] is grpc.StatusCode.UNAVAILABLE
    world.runtime.away = False
    world.runtime.pull("img")
    world.kernel.broken["mount_overlay"] = MountError("mount overlay", "a", "b", errno.EINVAL)
    code, text = await code_of(stub.EnsureRoot(ensure()))
    assert code is grpc.StatusCode.INTERNAL
    assert text == "mount overlay a -> b: Invalid argument"
    assert (await code_of(stub.AdmitPod(admit(root_uid="other"))))[0] is grpc.StatusCode.NOT_FOUND


async def test_a_held_root_is_aborted(rig: Rig) -> None:
    rig.world.running(pid=500)
    stub = rig.stub()
    for call in (stub.ReleaseRoot(root()), stub.DeleteRoot(root()), stub.Sync(root())):
        assert (await code_of(call))[0] is grpc.StatusCode.ABORTED
    held = await stub.GetRoot(pb.GetRootRequest(uid=UID))
    assert (held.holder.pod_uid, held.holder.pid, held.synced) == ("pod-1", 500, False)


@pytest.mark.parametrize(
    "request_",
    [
        ensure(uid=""),
        ensure(uid="../../etc"),
        ensure(namespace=""),
        ensure(name="x" * 254),
        ensure(image="a\nb"),
        ensure(image_id="x" * 1025),
        admit(role=pb.ROLE_UNSPECIFIED),
        admit(role=99),
        admit(pod_uid="a/b"),
        admit(container=""),
        admit(root_uid="x" * 64),
    ],
    ids=lambda request: type(request).__name__,
)
async def test_malformed_requests_are_refused(rig: Rig, request_: object) -> None:
    stub = rig.stub()
    call = (
        stub.EnsureRoot(request_)
        if isinstance(request_, pb.EnsureRootRequest)
        else stub.AdmitPod(request_)
    )
    assert (await code_of(call))[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert not rig.world.store.known()


async def test_a_stale_fence_may_change_nothing(rig: Rig) -> None:
    rig.world.ensured()
    stub = rig.stub()
    await stub.AdmitPod(admit(fence=7))
    for call in (
        stub.EnsureRoot(ensure(fence=6)),
        stub.ReleaseRoot(root(6)),
        stub.DeleteRoot(root(6)),
        stub.Sync(root(6)),
        stub.AdmitPod(admit(fence=6)),
    ):
        code, text = await code_of(call)
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "stale" in text
    assert (await stub.GetRoot(pb.GetRootRequest(uid=UID))).mounted


async def test_only_the_controller_may_call(rig: Rig) -> None:
    somebody = rig.stub("somebody")
    for call in (somebody.ListRoots(pb.ListRootsRequest()), somebody.DeleteRoot(root())):
        assert (await code_of(call))[0] is grpc.StatusCode.PERMISSION_DENIED
    stream = somebody.WatchRoots(pb.WatchRootsRequest())
    assert (await code_of(stream.read()))[0] is grpc.StatusCode.PERMISSION_DENIED
    for name in (None, "stranger"):
        call = rig.stub(name).ListRoots(pb.ListRootsRequest(), timeout=TIMEOUT)
        assert (await code_of(call))[0] is grpc.StatusCode.UNAVAILABLE


async def test_the_stream_starts_with_everything_and_then_tells_every_change(rig: Rig) -> None:
    rig.world.ensured()
    kinds = pb.WatchEvent
    stream = rig.stub().WatchRoots(pb.WatchRootsRequest())
    first = [await stream.read() for _ in range(3)]
    assert [e.type for e in first] == [kinds.NODE, kinds.ROOT, kinds.SNAPSHOT_END]
    assert first[1].root.mounted
    rig.world.store.set_node(
        NodeStatus("node1", ready=True, reason="Ready", message="", runtime="r")
    )
    changed = await stream.read()
    assert (changed.type, changed.node.ready) == (kinds.NODE, True)
    await asyncio.to_thread(rig.world.running, 500)
    seen = await stream.read()
    while not seen.root.holder.pid:
        seen = await stream.read()
    await asyncio.to_thread(rig.world.kernel.kill, 500)
    while seen.root.holder.pid:
        seen = await stream.read()
    await asyncio.to_thread(rig.world.agent.delete, UID)
    while seen.type != kinds.ROOT_DELETED:
        seen = await stream.read()
    assert seen.root.uid == UID


async def test_open_streams_do_not_hold_up_the_end(rig: Rig) -> None:
    stream = rig.stub().WatchRoots(pb.WatchRootsRequest())
    await stream.read()
    async with asyncio.timeout(3):
        await rig.server.stop()


async def test_health_is_plain_and_readiness_follows(rig: Rig) -> None:
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{rig.plain}")
    rig.channels.append(channel)
    stub = health_pb2_grpc.HealthStub(channel)
    serving = health_pb2.HealthCheckResponse.ServingStatus
    request = health_pb2.HealthCheckRequest
    assert (await stub.Check(request())).status == serving.SERVING
    assert (await stub.Check(request(service=READINESS))).status == serving.NOT_SERVING
    await rig.server.set_ready(ready=True)
    assert (await stub.Check(request(service=READINESS))).status == serving.SERVING
    plain = pb_grpc.NodeAgentStub(channel)  # type: ignore[no-untyped-call]
    code, _ = await code_of(plain.ListRoots(pb.ListRootsRequest()))
    assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_reflection_names_the_service_to_the_controller_only(rig: Rig) -> None:
    async def ask(name: str) -> reflection_pb2.ServerReflectionResponse:
        stub = reflection_pb2_grpc.ServerReflectionStub(rig.channel(name))
        requests = [reflection_pb2.ServerReflectionRequest(list_services="")]
        return await stub.ServerReflectionInfo(iter(requests)).read()

    names = {s.name for s in (await ask(CONTROLLER)).list_services_response.service}
    assert "stoppablecontainer.nodeagent.v1alpha1.NodeAgent" in names
    assert (await code_of(ask("somebody")))[0] is grpc.StatusCode.PERMISSION_DENIED


async def test_a_renewed_ca_and_certificate_are_used_without_a_restart(rig: Rig) -> None:
    old = rig.stub()
    await old.ListRoots(pb.ListRootsRequest(), timeout=TIMEOUT)
    authority = Authority()
    authority.issue(rig.folder / "agent", "agent")
    authority.issue(rig.folder / "renewed", CONTROLLER)
    await rig.stub("renewed").ListRoots(pb.ListRootsRequest(), timeout=TIMEOUT)
    await old.ListRoots(pb.ListRootsRequest(), timeout=TIMEOUT)  # living connections live on


async def test_a_caller_that_gives_up_does_not_stop_the_work(rig: Rig) -> None:
    rig.world.runtime.pull("img")
    call = rig.stub().EnsureRoot(ensure())
    await asyncio.wait([asyncio.ensure_future(_started(call))], timeout=TIMEOUT)
    call.cancel()
    await asyncio.to_thread(rig.world.until, lambda: rig.world.store.get(UID).device is not None)


async def _started(call: grpc.aio.UnaryUnaryCall[object, object]) -> None:
    await call.wait_for_connection()
