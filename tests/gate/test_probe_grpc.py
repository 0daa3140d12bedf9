"""The gate's gRPC probe against real health servers, and against whatever else speaks there."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING

import pytest
from grpc_health.v1 import health_pb2

from tests.gate.processes import AT_ONCE
from tests.gate.servers import (
    HERE,
    grpc_server,
    health_server,
    nobody,
    saying,
    silent,
    web,
)

if TYPE_CHECKING:
    from tests.gate.told import Done, Told

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, PADDED = 1, 8
NO_HTTP2 = "the answer is not HTTP/2"
NO_STATUS = "the answer is not a health status"
Health = health_pb2.HealthCheckResponse


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 1) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def message(payload: bytes) -> bytes:
    return b"\0" + struct.pack(">I", len(payload)) + payload


HELLO = frame(SETTINGS, stream=0)
SERVING = message(b"\x08\x01")
END = frame(HEADERS, b"\x88", flags=END_STREAM | 4)


def check(told: Told, port: int, *service: str, ms: int = 5000) -> Done:
    """Probe for this service, or for the server as a whole."""
    return told.run(f"probe -t {ms} ready grpc {port} -h {HERE}", *service)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Health.SERVING, ""),
        (Health.NOT_SERVING, "NOT_SERVING"),
        (Health.UNKNOWN, "UNKNOWN"),
        (Health.SERVICE_UNKNOWN, "SERVICE_UNKNOWN"),
    ],
)
def test_serving_alone_is_success(told: Told, status: int, words: str) -> None:
    with health_server(_=status, mine=status) as port:
        for service in ((), ("",), ("mine",)):
            done = check(told, port, *service)
            assert done.returncode == bool(words)
            assert done.stdout.endswith(f":{port}: {words}\n") if words else not done.stdout


@pytest.mark.parametrize("length", [1, 127, 128, 1024])
def test_service_of_any_allowed_name_is_asked_for(told: Told, length: int) -> None:
    name = "x" * length
    with health_server(**{name: Health.SERVING, "_": Health.NOT_SERVING}) as port:
        assert check(told, port, name).returncode == 0
        assert check(told, port).returncode == 1


def test_unknown_service_and_server_without_health_are_failures(told: Told) -> None:
    with health_server(_=Health.SERVING) as port:
        done = check(told, port, "other")
        # This library says NOT_FOUND beside an empty answer; others say nothing but the error.
        assert (done.returncode, done.stdout) == (1, f"grpc {HERE}:{port}: UNKNOWN\n")
    with grpc_server() as (server, port):
        server.start()
        done = check(told, port)
        assert done.returncode == 1
        assert "does not offer grpc.health.v1.Health" in done.stdout


def test_server_that_hangs_times_out(told: Told) -> None:
    with silent() as port:
        began = time.monotonic()
        done = check(told, port, ms=200)
        assert 0.2 <= time.monotonic() - began < AT_ONCE
        assert done.returncode == 1
        assert done.stdout.endswith(": no answer in time\n")
    for begin in (HELLO, HELLO + frame(DATA, SERVING), HELLO[:5]):
        with saying(begin, hang=True) as port:
            assert check(told, port, ms=200).stdout.endswith(": no answer in time\n")


def test_refused_connection_and_one_that_ends_are_failures(told: Told) -> None:
    assert "Connection refused" in check(told, nobody()).stdout
    for begin in (b"", HELLO, HELLO + frame(DATA, SERVING)):
        with saying(begin) as port:
            done = check(told, port)
        assert done.returncode == 1
        assert "hung up" in done.stdout


def test_web_server_is_not_a_grpc_server(told: Told) -> None:
    with web() as server:
        assert check(told, server.port).returncode == 1
    with saying(b"HTTP/1.1 400 Bad Request\r\n\r\n", hang=True) as port:
        assert check(told, port).stdout.endswith(f": {NO_HTTP2}\n")


@pytest.mark.parametrize(
    "frames",
    [
        *(frame(DATA, SERVING, flags=END_STREAM), frame(DATA, SERVING) + END),
        frame(DATA, b"\x03" + SERVING + b"\0\0\0", flags=END_STREAM | PADDED),
        frame(DATA, SERVING[:3]) + frame(DATA, SERVING[3:]) + END,
        frame(DATA, b"of another", stream=3)
        + END.replace(b"\0\0\0\1", b"\0\0\0\3")
        + frame(DATA, SERVING)
        + END,
        frame(SETTINGS, flags=1, stream=0)
        + frame(WINDOW_UPDATE, b"\0\0\0\1")
        + frame(77, b"whatever")
        + frame(PING, b"12345678", stream=0)
        + frame(DATA, SERVING)
        + END,
        frame(GOAWAY, b"\0\0\0\1\0\0\0\0", stream=0) + frame(DATA, SERVING) + END,
        frame(DATA, message(b"\x08\x00\x12\x02ab\x19" + b"x" * 8 + b"\x25abcd\x08\x01")) + END,
    ],
    ids=range(8),
)
def test_every_good_answer_is_understood(told: Told, frames: bytes) -> None:
    with saying(HELLO + frames, hang=True) as port:
        done = check(told, port)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (b"\xff" * 64, NO_HTTP2),
        (frame(DATA, b"\x05abc", flags=PADDED), NO_HTTP2),
        (frame(DATA, b"", flags=PADDED), NO_HTTP2),
        (frame(PING, b"short"), NO_HTTP2),
        (frame(DATA, b"x" * 257), "the answer is too long"),
        (frame(DATA, b"\0\0") + END, NO_STATUS),
        (frame(DATA, b"\1" + SERVING[1:]) + END, NO_STATUS),
        (frame(DATA, SERVING[:-1]) + END, NO_STATUS),
        (frame(DATA, SERVING + b"\0") + END, NO_STATUS),
        (frame(DATA, message(b"\x08")) + END, "an unknown health status"),
        (frame(DATA, message(b"\x08\x01\x12\x7f")) + END, "an unknown health status"),
        (frame(DATA, message(b"\x08\x01\x19\x01")) + END, "an unknown health status"),
        (frame(DATA, message(b"\x0f\x01")) + END, "an unknown health status"),
        (frame(DATA, message(b"\x08" + b"\xff" * 12)) + END, "an unknown health status"),
        (frame(DATA, message(b"\x08\x81\x80\x80\x80\x10")) + END, "an unknown health status"),
        (frame(DATA, message(b"")) + END, "UNKNOWN"),
        (frame(RST_STREAM, b"\0\0\0\7"), "the server refused the call"),
        (frame(GOAWAY, b"\0\0\0\0\0\0\0\0", stream=0), "the server is going away"),
        (frame(GOAWAY, stream=0), "the server is going away"),
    ],
    ids=range(19),
)
def test_every_bad_answer_is_a_failure(told: Told, frames: bytes, why: str) -> None:
    with saying(HELLO + frames, hang=True) as port:
        done = check(told, port)
    assert done.stdout.endswith(f":{port}: {why}\n")
    assert done.returncode == 1


@pytest.mark.parametrize("kind", [PING, WINDOW_UPDATE, SETTINGS, DATA])
def test_frames_without_end_are_a_failure(told: Told, kind: int) -> None:
    payload = b"" if kind == DATA else b"12345678"
    with saying(HELLO, for_ever=frame(kind, payload, stream=3)) as port:
        began = time.monotonic()
        done = check(told, port)
        assert time.monotonic() - began < AT_ONCE
    assert done.returncode == 1
