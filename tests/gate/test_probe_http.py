"""The gate's HTTP probe: as the kubelet asks, and whatever a server may answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.gate.processes import AT_ONCE
from tests.gate.servers import HERE, nobody, saying, silent, web

if TYPE_CHECKING:
    from tests.gate.told import Done, Told

OK = b"HTTP/1.1 200 OK\r\n"
FLOOD = b"x" * 65536


def get(told: Told, port: int, *headers: str, path: str = "/", ms: int = 5000) -> Done:
    """Probe with these headers."""
    words = [word for header in headers for word in ("-H", header)]
    return told.run(f"probe -t {ms} ready http {port} {path} -h {HERE}", *words)


@pytest.mark.parametrize("status", [200, 204, 301, 302, 307, 399])
def test_statuses_from_200_to_399_are_success(told: Told, status: int) -> None:
    with web() as server:
        done = get(told, server.port, path=f"/{status}")
        assert (done.returncode, done.stdout) == (0, "")
        # Nothing is followed.
        assert server.paths == [f"/{status}"]


@pytest.mark.parametrize("status", [400, 404, 500, 503, 599])
def test_every_other_status_is_a_failure_with_its_number(told: Told, status: int) -> None:
    with web() as server:
        done = get(told, server.port, path=f"/{status}")
        assert done.stdout == f"http {HERE}:{server.port}: status {status}\n"
        assert done.returncode == 1


def test_request_is_the_kubelets(told: Told) -> None:
    with web() as server:
        assert get(told, server.port, path="/200/a%20b?c=d&e").returncode == 0
        assert server.paths == ["/200/a%20b?c=d&e"]
        assert server.headers == [
            [
                ("Host", f"{HERE}:{server.port}"),
                ("User-Agent", "kube-probe/stoppablecontainer"),
                ("Accept", "*/*"),
                ("Connection", "close"),
            ]
        ]


def test_headers_of_the_user_are_sent_and_take_the_place_of_ours(told: Told) -> None:
    mine = ("X-Mine: a: b", "x-mine:c", "host: example.org", "Accept: text/html", "USER-AGENT: me")
    with web() as server:
        assert get(told, server.port, *mine, path="/200").returncode == 0
        assert server.headers == [
            [
                ("Host", "example.org"),
                ("User-Agent", "me"),
                ("Accept", "text/html"),
                ("X-Mine", "a: b"),
                ("x-mine", "c"),
                ("Connection", "close"),
            ]
        ]


def test_empty_header_of_ours_is_left_out_but_never_the_host(told: Told) -> None:
    with web() as server:
        empty = ("Accept:", "User-Agent: ", "Host:")
        assert get(told, server.port, *empty, path="/200").returncode == 0
        assert [name for name, _ in server.headers[0]] == ["Host", "Connection"]


def test_header_that_promises_a_body_is_dropped(told: Told) -> None:
    with web() as server:
        promises = ("Content-Length: 5", "transfer-encoding: chunked", "Trailer: x")
        assert get(told, server.port, *promises, path="/200").returncode == 0
        assert [name for name, _ in server.headers[0]][3:] == ["Connection"]


def test_request_without_bounds_is_refused(told: Told) -> None:
    with silent() as port:
        done = get(told, port, "A: " + "x" * 70_000)
    assert (done.returncode, done.stdout) == (
        1,
        f"http {HERE}:{port}: the request is longer than 64 KiB\n",
    )


def test_server_that_hangs_times_out(told: Told) -> None:
    with silent() as port:
        began = time.monotonic()
        done = get(told, port, ms=200)
        assert 0.2 <= time.monotonic() - began < AT_ONCE
        assert (done.returncode, done.stdout) == (1, f"read {HERE}:{port}: no answer in time\n")


@pytest.mark.parametrize("begin", [b"H", b"HTTP/1.1 200", OK, OK + b"A: b\r\n", OK + b"\r"])
def test_server_that_hangs_within_its_answer_times_out(told: Told, begin: bytes) -> None:
    with saying(begin, hang=True) as port:
        done = get(told, port, ms=200)
    assert (done.returncode, done.stdout) == (1, f"read {HERE}:{port}: no answer in time\n")


def test_missing_timeout_is_a_second(told: Told) -> None:
    with silent() as port:
        began = time.monotonic()
        assert told.run(f"probe live http {port} / -h {HERE}").returncode == 1
        assert 1 <= time.monotonic() - began < 1 + AT_ONCE


def test_refused_connection_is_a_failure(told: Told) -> None:
    port = nobody()
    done = get(told, port)
    assert (done.returncode, done.stdout) == (1, f"connect {HERE}:{port}: Connection refused\n")


@pytest.mark.parametrize("begin", [b"", b"HTTP", OK, OK + b"A: b\r\n"])
def test_server_that_hangs_up_is_a_failure(told: Told, begin: bytes) -> None:
    with saying(begin) as port:
        done = get(told, port)
    assert done.stdout == f"read {HERE}:{port}: the server hung up before it had answered\n"
    assert done.returncode == 1


@pytest.mark.parametrize(
    "answer",
    [
        *(b"\0" * 64, b"\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 20x OK\r\n\r\n"),
        *(b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/1.1 -20 OK\r\n\r\n", b"HTTP/11 200 OK\r\n\r\n"),
        *(b"HTTP/1.1 20\r\n\r\n", b"http/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200\0\r\n\r\n", FLOOD),
    ],
    ids=range(11),
)
def test_answer_that_is_not_http_is_not_waited_for(told: Told, answer: bytes) -> None:
    with saying(answer, hang=True) as port:
        done = get(told, port)
    assert done.stdout == f"http {HERE}:{port}: the answer is not HTTP\n"
    assert done.returncode == 1


def test_answer_may_come_in_any_pieces(told: Told) -> None:
    answer = OK + b"Content-Length: 2\r\n\r\nok"
    with saying(*(bytes([byte]) for byte in answer), hang=True) as port:
        assert get(told, port).returncode == 0


@pytest.mark.parametrize(
    "answer",
    [
        *(b"HTTP/1.0 200\n\n", b"HTTP/1.1 204 \r\n\r\n", OK + b"\r\n", OK + b"\r\nab"),
        *(OK + b"content-length:2\r\n\r\nab", OK + b"Content-Length: x\r\n\r\n"),
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nA: b\r\n\r\n" + OK + b"\r\n",
    ],
)
def test_every_whole_answer_is_understood(told: Told, answer: bytes) -> None:
    with saying(answer) as port:
        assert get(told, port).returncode == 0


@pytest.mark.parametrize(
    "answer",
    [
        *(OK + b"Content-Length: 0\r\n\r\n", OK + b"Content-Length: 2\r\n\r\nab"),
        *(b"HTTP/1.1 304 \r\n\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ],
)
def test_answer_that_has_ended_is_not_read_on(told: Told, answer: bytes) -> None:
    with saying(answer, hang=True) as port:
        began = time.monotonic()
        assert get(told, port).returncode == 0
        assert time.monotonic() - began < AT_ONCE


def test_body_without_end_is_read_as_far_as_the_kubelet_does(told: Told) -> None:
    with saying(OK + b"Content-Length: 99999999999\r\n\r\n", for_ever=FLOOD) as port:
        began = time.monotonic()
        assert get(told, port).returncode == 0
        assert time.monotonic() - began < AT_ONCE


def test_body_that_does_not_come_changes_nothing(told: Told) -> None:
    for begin, code in ((OK, 0), (b"HTTP/1.1 500 \r\n", 1)):
        with saying(begin + b"Content-Length: 5\r\n\r\nab", hang=True) as port:
            assert get(told, port, ms=200).returncode == code
        with saying(begin + b"Content-Length: 5\r\n\r\nab") as port:
            assert get(told, port).returncode == code


def test_headers_without_end_are_a_failure(told: Told) -> None:
    with saying(OK + b"A: ", for_ever=FLOOD) as port:
        done = get(told, port)
    assert done.stdout == f"http {HERE}:{port}: the headers of the answer are too long\n"
    assert done.returncode == 1


def test_early_answers_without_end_are_a_failure(told: Told) -> None:
    with saying(for_ever=b"HTTP/1.1 100 Continue\r\n\r\n") as port:
        assert get(told, port).returncode == 1
