"""Servers that the gate's probes are tried on: honest ones, and those that hang or lie."""

from __future__ import annotations

import socket
import threading
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2_grpc

from tests.gate.places import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HERE = "127.0.0.1"


@dataclass
class Web:
    """A real HTTP server: answers /200 with 200, and keeps what it was asked."""

    port: int = 0
    paths: list[str] = field(default_factory=list)
    headers: list[list[tuple[str, str]]] = field(default_factory=list)


@contextmanager
def web() -> Iterator[Web]:
    """A server that runs."""
    seen = Web()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            seen.paths.append(self.path)
            seen.headers.append(list(self.headers.items()))
            status = int(self.path[1:4])
            self.send_response(status)
            self.send_header("Content-Length", "2")
            if status < 400:
                self.send_header("Location", "/500")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            """Not in the tests' output."""

    with ThreadingHTTPServer((HERE, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        seen.port = server.server_port
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join(PATIENCE)


@contextmanager
def silent() -> Iterator[int]:
    """The port of a server that takes connections, as the kernel does for it, and never answers."""
    with socket.create_server((HERE, 0)) as listener:
        yield int(listener.getsockname()[1])


def nobody() -> int:
    """A port where nothing listens."""
    with silent() as port:
        return port


@contextmanager
def saying(*answer: bytes, for_ever: bytes = b"", hang: bool = False) -> Iterator[int]:
    """The port of a server that says these bytes to the first who comes, whatever was asked.

    Then it hangs up, or goes on `for_ever`, or hangs until the test is over.
    """
    over = threading.Event()

    def serve(listener: socket.socket) -> None:
        try:
            peer = listener.accept()[0]
        except OSError:
            return
        with peer:
            peer.settimeout(PATIENCE)
            try:
                peer.recv(65536)
                say(peer, answer)
                while for_ever and not over.is_set():
                    peer.sendall(for_ever)
                if hang:
                    over.wait(PATIENCE)
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(65536):
                    pass
            except OSError:
                return  # the gate has gone, as it should

    with socket.create_server((HERE, 0)) as listener:
        listener.settimeout(PATIENCE)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            over.set()
            thread.join(PATIENCE)


def say(peer: socket.socket, pieces: Iterable[bytes]) -> None:
    """Each piece in a packet of its own, as far as the kernel cares."""
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for piece in pieces:
        peer.sendall(piece)


@contextmanager
def health_server(**statuses: int) -> Iterator[int]:
    """The port of a real grpc health server; `_` stands for the service without a name."""
    servicer = health.HealthServicer()
    for service, status in statuses.items():
        servicer.set("" if service == "_" else service, status)
    with grpc_server() as (server, port):
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        server.start()
        yield port


@contextmanager
def grpc_server() -> Iterator[tuple[grpc.Server, int]]:
    """A server that offers nothing, not yet started."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    port = server.add_insecure_port(f"{HERE}:0")
    try:
        yield server, port
    finally:
        server.stop(None).wait(PATIENCE)
