"""The ears: LIST and WATCH against an HTTP server, through the real client."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from controller.kube import Kube
from controller.model import SC, Body, Key
from controller.store import Store
from controller.watching import Source, watch

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = "/apis/stoppablecontainer.xtlsoft.top/v1alpha1/stoppablecontainers"


def body(name: str, revision: int, **spec: object) -> Body:
    metadata = {"namespace": "d", "name": name, "uid": name, "resourceVersion": str(revision)}
    return {"metadata": metadata, "spec": spec}


def line(change: str, found: Body) -> bytes:
    return json.dumps({"type": change, "object": found}).encode() + b"\n"


GONE = line("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})


class Server:
    """Answers each LIST and each WATCH with the next of what a test has laid down."""

    def __init__(self) -> None:
        self.lists: list[tuple[list[Body], int] | int] = []
        self.streams: list[list[bytes] | int] = []
        self.asked: list[str] = []
        self.store = Store()
        self.changed = asyncio.Event()
        self.store.on_object = lambda _kind, _body: self.changed.set()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get(PATH, self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self._kube = Kube(Configuration(host=f"http://{host}:{port}"))
        self._task = asyncio.create_task(watch(self._kube, self.store, Source(SC)))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._kube.close()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        watched = "watch" in request.query
        self.asked.append(f"watch {request.query['resourceVersion']}" if watched else "list")
        self.changed.set()
        answers: list[Any] = self.streams if watched else self.lists
        answer = answers.pop(0) if answers else [asyncio.Event()]
        if isinstance(answer, int):
            return web.json_response({"message": "no"}, status=answer)
        if not watched:
            items, revision = answer
            return web.json_response(
                {"items": items, "metadata": {"resourceVersion": str(revision)}}
            )
        response = web.StreamResponse()
        await response.prepare(request)
        for part in answer:
            if isinstance(part, asyncio.Event):
                await part.wait()
            else:
                await response.write(part)
        return response

    def names(self) -> set[str]:
        return {found["metadata"]["name"] for found in self.store.all(SC)}

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not true():
                self.changed.clear()
                await self.changed.wait()


FOR_EVER: Any = asyncio.Event()


async def test_what_is_there_and_what_changes_reaches_the_store() -> None:
    server = Server()
    server.lists = [([body("old", 3)], 5)]
    server.streams = [
        [line("ADDED", body("new", 6)), line("MODIFIED", body("old", 7, running=True)), FOR_EVER]
    ]
    async with server:
        await server.until(lambda: server.names() == {"old", "new"})
        changed = {"running": True}
        await server.until(lambda: (server.store.get(SC, Key("d", "old")) or {})["spec"] == changed)
    assert server.asked == ["list", "watch 5"]


async def test_a_deleted_object_leaves_the_store() -> None:
    server = Server()
    server.lists = [([body("a", 3), body("b", 4)], 5)]
    server.streams = [[line("DELETED", body("a", 6)), FOR_EVER]]
    async with server:
        await server.until(lambda: server.names() == {"b"})


async def test_a_stream_that_ends_goes_on_from_its_last_bookmark() -> None:
    server = Server()
    server.lists = [([], 5)]
    ending = asyncio.Event()
    server.streams = [
        [line("ADDED", body("a", 6)), line("BOOKMARK", body("", 90)), ending],  # type: ignore[list-item]
        [line("ADDED", body("b", 91)), FOR_EVER],
    ]
    async with server:
        await server.until(lambda: server.names() == {"a"})
        # Longer than a stream that told nothing.
        asyncio.get_running_loop().call_later(1.1, ending.set)
        await server.until(lambda: server.names() == {"a", "b"})
    assert server.asked == ["list", "watch 5", "watch 90"]


@pytest.mark.parametrize("answer", [[GONE], 410])
async def test_a_revision_that_is_too_old_is_answered_by_a_new_list(answer: Any) -> None:
    server = Server()
    server.lists = [([body("ghost", 3)], 5), ([body("b", 8)], 9)]
    server.streams = [answer, [FOR_EVER]]
    async with server:
        await server.until(lambda: server.names() == {"b"})
        await server.until(lambda: len(server.asked) == 4)
    assert server.asked == ["list", "watch 5", "list", "watch 9"]


@pytest.mark.parametrize(
    "answer",
    [
        500,
        403,
        [],
        [b'{"type": "ADDED", "obj'],
        [b"null\n"],
        [b"[1]\n"],
        [b'{"type": "ADDED", "object": []}\n'],
        [line("ERROR", {"code": 500, "message": "etcd"})],
        [b"x" * (5 * 1024 * 1024), b"\n"],
    ],
    ids=[
        "server error",
        "forbidden",
        "ends at once",
        "cut line",
        "null",
        "list",
        "no object",
        "error event",
        "endless line",
    ],
)
async def test_a_broken_stream_is_begun_again(answer: Any) -> None:
    server = Server()
    server.lists = [([], 5), ([body("found", 8)], 9)]
    server.streams = [answer, [FOR_EVER]]
    async with server:
        await server.until(lambda: server.names() == {"found"})
    assert server.asked[:3] == ["list", "watch 5", "list"]


async def test_a_list_that_is_refused_is_asked_for_again() -> None:
    server = Server()
    server.lists = [503, ([body("found", 8)], 9)]
    server.streams = [[FOR_EVER]]
    async with server:
        await server.until(lambda: server.asked == ["list", "list", "watch 9"])
    assert server.names() == {"found"}
