"""Which objects a container's variables come from, when those were written, and how they are read.

The API server of the last tests is a real one of HTTP, with one object of whatever kind.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration

from controller.environment import (
    MAX_SOURCES,
    Environment,
    Found,
    Read,
    Source,
    SourceKind,
    environment,
    last_change,
    seconds,
    sources,
    what_changed,
)
from controller.errors import Denied, NotYet
from controller.kube import Kube
from controller.model import SECRET, Key
from controller.sources import LONGEST_SECONDS, read_sources
from tests.controller import virtual
from tests.controller.test_status import pod as plain_pod
from tests.fakes.kube import FakeKube

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from controller.model import Body, Kind

MAP, SECRET_KIND = SourceKind.CONFIG_MAP, SourceKind.SECRET
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"


def variable(field: str, **reference: Any) -> dict[str, Any]:
    return {"name": "A", "valueFrom": {field: {"key": "k", **reference}}}


def test_each_source_counts_once_and_is_needed_when_one_reference_needs_it() -> None:
    container = {
        "envFrom": [
            {"prefix": "A_", "configMapRef": {"name": "a", "optional": True}},
            {"secretRef": {"name": "a"}},
        ],
        "env": [
            variable("configMapKeyRef", name="a"),
            variable("secretKeyRef", name="b.c", optional=True),
            variable("fieldRef", fieldPath="metadata.name"),
            {"name": "PLAIN", "value": "configMapRef"},
        ],
    }

    found = sources(container)

    assert found == (
        Source(MAP, "a"), Source(SECRET_KIND, "a"), Source(SECRET_KIND, "b.c", optional=True)
    )  # fmt: skip


@pytest.mark.parametrize(
    "container",
    [
        {"envFrom": None, "env": None},
        {"envFrom": "a", "env": {"a": "b"}},
        {"envFrom": [None, 1, {"configMapRef": None}, {"secretRef": []}, {"configMapRef": {}}]},
        {"env": [{"valueFrom": []}, {"valueFrom": {"secretKeyRef": {"name": 1}}}]},
        {"envFrom": [{"configMapRef": {"name": one}} for one in ("", ".", "..", "../pods/x", "A")]},
        {"envFrom": [{"configMapRef": {"name": one}} for one in ("a/b", "a\n", "a?b", "a" * 254)]},
    ],
)
def test_what_can_be_no_object_is_no_source(container: dict[str, Any]) -> None:
    assert sources(container) == ()


def test_one_more_than_is_looked_at_tells_that_there_are_more() -> None:
    many = [{"configMapRef": {"name": f"a{number}"}} for number in range(200)]

    assert len(sources({"envFrom": many})) == MAX_SOURCES + 1


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"creationTimestamp": EARLY}, EARLY),
        ({"creationTimestamp": EARLY, "managedFields": None}, EARLY),
        ({"managedFields": [{"time": LATE, "fieldsV1": {"f:data": {}}}]}, LATE),
        ({"managedFields": [{"time": LATE, "fieldsV1": {"f:binaryData": {}}}]}, LATE),
        ({"managedFields": [{"time": LATE, "fieldsV1": {"f:stringData": {}}}]}, LATE),
        (
            {
                "creationTimestamp": EARLY,
                "managedFields": [{"time": LATE, "fieldsV1": {"f:metadata": {"f:data": {}}}}],
            },
            EARLY,
        ),
        ({"managedFields": [None, {}, {"fieldsV1": []}, {"fieldsV1": {"f:data": {}}}]}, ""),
        ({"creationTimestamp": 5, "managedFields": {"time": LATE}}, ""),
    ],
)
def test_the_last_change_is_the_last_write_of_contents(
    metadata: dict[str, Any], expected: str
) -> None:
    assert last_change(metadata) == seconds(expected)


@pytest.mark.parametrize("time", [None, 1, "", "soon", "2026-01-01T00:00:00", "9" * 5000])
def test_what_is_no_time_is_not_known(time: object) -> None:
    assert seconds(time) == 0


def test_a_change_within_the_second_of_the_start_is_none() -> None:
    made = seconds(EARLY)

    assert not what_changed(Read("p", (0, ""), (Found(Source(MAP, "a"), made),)), made)
    assert what_changed(Read("p", (0, ""), (Found(Source(MAP, "a"), made + 1),)), made)


def test_only_the_first_of_many_changes_are_named() -> None:
    found = tuple(Found(Source(MAP, f"a{number}"), 2) for number in range(MAX_SOURCES))

    said = what_changed(Read("p", (0, ""), found), 1)

    assert said.startswith("ConfigMap a0 changed, ConfigMap a1 changed,")
    assert "ConfigMap a4 changed and 59 more after the container was made" in said


def test_a_turn_is_told_apart_from_the_one_in_the_same_second() -> None:
    spec = {"containers": [{"name": "main", "envFrom": [{"configMapRef": {"name": "a"}}]}]}
    entry = {"name": "main", "state": {"running": {"startedAt": EARLY}}}
    status = {"containerStatuses": [None, {"name": "other"}, entry]}
    turns = [
        environment(spec, status, {"status": status_, "lastTransitionTime": EARLY})
        for status_ in ("True", "False")
    ]

    assert turns[0] != turns[1]
    assert turns[0] == Environment((Source(MAP, "a"),), seconds(EARLY), (seconds(EARLY), "True"))


# The reading itself.


class Silent(FakeKube):
    """Takes requests and never answers."""

    async def metadata(self, kind: Kind, key: Key) -> Body | None:
        await asyncio.sleep(3600)
        return await super().metadata(kind, key)


def test_an_api_server_that_hangs_is_given_up_soon() -> None:
    many = tuple(Source(MAP, f"a{number}") for number in range(MAX_SOURCES))
    pod = replace(plain_pod(), environment=Environment(many, 1, (1, "True")))

    async def main() -> None:
        began = virtual.now()
        with pytest.raises(NotYet):
            await read_sources(Silent(), "ns", pod)
        assert virtual.now() - began == pytest.approx(LONGEST_SECONDS)

    virtual.run(main())


class Server:
    """Answers every GET with what a test wants, and keeps what it was asked."""

    def __init__(self) -> None:
        self.code, self.body = 200, {}  # type: int, dict[str, Any]
        self.asked: list[tuple[str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, request.headers["Accept"]))
        return web.json_response(self.body, status=self.code)


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, Kube]]:
    found, app = Server(), web.Application()
    app.router.add_get("/{path:.*}", found.answer)
    async with TestServer(app) as listening:
        kube = Kube(Configuration(host=str(listening.make_url("")).rstrip("/")))
        yield found, kube
        await kube.close()


async def test_contents_are_neither_asked_for_nor_kept(server: tuple[Server, Kube]) -> None:
    there, kube = server
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": '{"data":{"a":"MQ=="}}'}
    known = {"creationTimestamp": EARLY, "managedFields": [{"manager": "kubectl"}]}
    there.body = {"metadata": {**known, "annotations": annotations}, "data": {"a": "MQ=="}}

    found = await kube.metadata(SECRET, Key("ns", "db"))

    assert found == known
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    assert there.asked == [("/api/v1/namespaces/ns/secrets/db", accept)]


async def test_an_object_that_is_not_there_is_none(server: tuple[Server, Kube]) -> None:
    there, kube = server
    there.code, there.body = 404, {"kind": "Status", "message": "not found"}

    assert await kube.metadata(SECRET, Key("ns", "db")) is None


async def test_a_refusal_is_told_apart_from_what_is_not_there(server: tuple[Server, Kube]) -> None:
    there, kube = server
    there.code, there.body = 403, {"kind": "Status", "message": "secrets is forbidden"}

    with pytest.raises(Denied, match="forbidden"):
        await kube.metadata(SECRET, Key("ns", "db"))
