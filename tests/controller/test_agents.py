"""The agents' door against a real gRPC server with mTLS in this process."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from controller import pki
from controller.agents import CODES, Agents, Tls
from controller.doors import Admission, RootOrder
from controller.errors import Busy, ControllerError, NodeFailed, NotYet
from controller.model import Role, Timeline
from controller.store import Store
from proto import nodeagent_pb2 as pb
from proto import nodeagent_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

YEAR = timedelta(days=365)
NOW = datetime.now(UTC)
ORDER = RootOrder("u1", "ns", "app", "busybox:1", "sha256:1")


class Service(nodeagent_pb2_grpc.NodeAgentServicer):
    """An agent that says what a test wants."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.peers: list[str] = []
        self.fail: grpc.StatusCode | None = None
        self.events: asyncio.Queue[Any] = asyncio.Queue()

    async def EnsureRoot(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.requests.append(request)
        self.peers += [one.decode() for one in context.auth_context()["x509_common_name"]]
        if self.fail:
            await context.abort(self.fail, "because")
        return pb.Root(uid=request.uid, mounted=True, problem_message="x" * 5000)

    async def AdmitPod(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.requests.append(request)
        return pb.AdmitPodResponse()

    async def WatchRoots(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        yield pb.WatchEvent(
            type=pb.WatchEvent.NODE, node=pb.NodeStatus(node="n1", ready=True, reason="Ready")
        )
        yield pb.WatchEvent(
            type=pb.WatchEvent.ROOT,
            root=pb.Root(uid="u1", namespace="ns", name="app", holder=pb.Holder(pod_uid="p1")),
        )
        yield pb.WatchEvent(type=pb.WatchEvent.SNAPSHOT_END)
        while True:
            event = await self.events.get()
            if event is None:
                return
            yield event


def certificates(authority: pki.Pair) -> tuple[pki.Pair, Tls]:
    name = "nodeagent.stoppablecontainer"
    server = pki.make_leaf(authority, NOW, YEAR, common_name=name, server=True)
    client = pki.make_leaf(
        authority, NOW, YEAR, common_name="stoppablecontainer-controller", server=False
    )
    return server, Tls(authority.certificate, client.certificate, client.key)


@asynccontextmanager
async def serving(service: Service, server_pair: pki.Pair, authority: bytes) -> AsyncIterator[str]:
    server = grpc.aio.server()
    # The generated function has no types.
    add: Any = nodeagent_pb2_grpc.add_NodeAgentServicer_to_server
    add(service, server)
    credentials = grpc.ssl_server_credentials(
        [(server_pair.key, server_pair.certificate)], authority, require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


class Changed:
    """Waits for the store to say that something changed."""

    def __init__(self, store: Store) -> None:
        self.event = asyncio.Event()
        store.on_root = lambda _node, _key: self.event.set()
        store.on_agent = lambda _node: self.event.set()

    async def until(self, holds: Any) -> None:
        async with asyncio.timeout(15):
            while not holds():
                self.event.clear()
                await self.event.wait()


@asynccontextmanager
async def line() -> AsyncIterator[tuple[Service, Agents, Store, Changed]]:
    authority = pki.make_authority(NOW, YEAR)
    server_pair, tls = certificates(authority)
    service, store = Service(), Store()
    changed = Changed(store)
    agents = Agents(store, lambda: 7, asyncio.get_running_loop().time)
    agents.use(tls)
    async with serving(service, server_pair, authority.certificate) as address:
        agents.point("n1", address)
        await changed.until(lambda: connected(store))
        yield service, agents, store, changed
        await agents.close()


def connected(store: Store) -> bool:
    word = store.word("n1")
    return word is not None and word.agent.connected


async def test_the_stream_fills_the_store_and_follows_changes() -> None:
    async with line() as (service, _, store, changed):
        word = store.word("n1")
        assert word is not None
        assert word.agent.usable
        assert word.roots["u1"].held
        assert word.roots["u1"].holder == "p1"

        free = pb.Root(uid="u1", namespace="ns", name="app", synced=True)
        service.events.put_nowait(pb.WatchEvent(type=pb.WatchEvent.ROOT, root=free))
        await changed.until(lambda: not word.roots["u1"].held)
        service.events.put_nowait(pb.WatchEvent(type=pb.WatchEvent.ROOT_DELETED, root=free))
        await changed.until(lambda: "u1" not in word.roots)


async def test_a_stream_that_ends_is_opened_again() -> None:
    async with line() as (service, _, store, changed):
        word = store.word("n1")
        assert word is not None
        session = word.session

        service.events.put_nowait(None)
        await changed.until(lambda: word.session > session and connected(store))


async def test_calls_carry_the_fence_and_the_name_of_the_controller() -> None:
    async with line() as (service, agents, _, _changed):
        root = await agents.ensure_root("n1", ORDER)
        await agents.admit(
            "n1", Admission("u1", Role.CONSUMER, "ns", "app", "p1", "main", init=True)
        )

        assert root.mounted
        assert len(root.problem_message) == 2000
        assert [request.fence for request in service.requests] == [7, 7]
        assert service.requests[1].role == pb.CONSUMER
        assert service.requests[1].init
        assert service.peers == ["stoppablecontainer-controller"]


@pytest.mark.parametrize("code", [*CODES, grpc.StatusCode.UNKNOWN], ids=lambda one: one.name)
async def test_every_code_has_its_own_error(code: grpc.StatusCode) -> None:
    async with line() as (service, agents, _, _changed):
        service.fail = code

        with pytest.raises(ControllerError, match="EnsureRoot on n1: because") as caught:
            await agents.ensure_root("n1", ORDER)

        assert type(caught.value) is CODES.get(code, NodeFailed)
        assert CODES[grpc.StatusCode.ABORTED] is Busy


async def test_an_agent_that_is_nowhere_is_not_yet() -> None:
    agents = Agents(Store(), lambda: 1, lambda: 0.0)

    with pytest.raises(NotYet):
        await agents.sync("n1", "u1")


async def test_an_agent_of_another_authority_is_not_believed() -> None:
    ours, theirs = pki.make_authority(NOW, YEAR), pki.make_authority(NOW, YEAR)
    server_pair, _ = certificates(theirs)
    _, tls = certificates(ours)
    store = Store()
    agents = Agents(store, lambda: 1, lambda: 0.0)
    agents.use(tls)
    async with serving(Service(), server_pair, theirs.certificate) as address:
        agents.point("n1", address)
        with pytest.raises(NotYet):
            await agents.ensure_root("n1", ORDER)
        assert not connected(store)
        await agents.close()


async def test_new_certificates_open_the_line_anew_and_the_overlap_is_trusted() -> None:
    old, new = pki.make_authority(NOW, YEAR), pki.make_authority(NOW, YEAR)
    server_pair, tls = certificates(old)
    _, newer = certificates(new)
    both = old.certificate + new.certificate
    store = Store()
    changed = Changed(store)
    agents = Agents(store, lambda: 1, lambda: 0.0)
    agents.use(tls)
    async with serving(Service(), server_pair, both) as address:
        agents.point("n1", address)
        await changed.until(lambda: connected(store))
        agents.use(Tls(both, newer.certificate, newer.key))
        assert not connected(store)
        await changed.until(lambda: connected(store))
        with suppress(ControllerError):
            await agents.close()


async def test_times_that_cannot_be_are_not_known() -> None:
    async with line() as (service, _, store, changed):
        word = store.word("n1")
        assert word is not None
        times = pb.Timeline(
            pod_uid="p" * 5000,
            sandbox_unix_us=1_767_225_600_000_000,
            created_unix_us=-5,
            running_unix_us=2**63 - 1,
        )
        root = pb.Root(uid="u1", namespace="ns", name="app", mounted=True, timeline=times)
        await service.events.put(pb.WatchEvent(type=pb.WatchEvent.ROOT, root=root))
        await changed.until(lambda: word.roots["u1"].mounted)

        told = word.roots["u1"].timeline
        assert told == Timeline(pod="p" * 256, sandbox=1_767_225_600_000_000)
