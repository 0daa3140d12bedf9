"""containerd's side of NRI on a unix socket: accepts plugins and sends requests."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

from proto.vendor import nri_pb2, ttrpc_pb2

if TYPE_CHECKING:
    from pathlib import Path

    from google.protobuf.message import Message

PLUGIN, RUNTIME = 1, 2
_GO_BUFFER = 4096


class Connection:
    """One plugin that connected."""

    def __init__(self, trunk: socket.socket) -> None:
        trunk.settimeout(5)
        self.trunk = trunk
        self.streams = {PLUGIN: b"", RUNTIME: b""}
        self.next = 1

    def frame(self, connection: int, data: bytes) -> None:
        self.trunk.sendall(struct.pack(">II", connection, len(data)) + data)

    def message(self, connection: int, stream: int, kind: int, message: Message) -> bytes:
        payload = message.SerializeToString()
        return struct.pack(">IIBB", len(payload), stream, kind, 0) + payload

    def receive(self, connection: int) -> tuple[int, int, bytes]:
        """Read one whole ttrpc message, as Go does: a frame longer than its buffer is an error."""
        while True:
            buffer = self.streams[connection]
            if len(buffer) >= 10:
                length, stream, kind, _ = struct.unpack(">IIBB", buffer[:10])
                if len(buffer) >= 10 + length:
                    self.streams[connection] = buffer[10 + length :]
                    return stream, kind, buffer[10 : 10 + length]
            name, size = struct.unpack(">II", self._exactly(8))
            assert size <= _GO_BUFFER
            self.streams[name] += self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.trunk.recv(size - len(data))
            if not part:
                raise ConnectionError
            data += part
        return data

    def accept_registration(self, error: str = "") -> nri_pb2.RegisterPluginRequest:
        stream, kind, payload = self.receive(RUNTIME)
        request = ttrpc_pb2.Request.FromString(payload)
        assert (kind, request.method) == (1, "RegisterPlugin")
        assert request.service == "nri.pkg.api.v1alpha1.Runtime"
        answer = ttrpc_pb2.Response()
        if error:
            answer.status.code, answer.status.message = 2, error
        self.frame(RUNTIME, self.message(RUNTIME, stream, 2, answer))
        return nri_pb2.RegisterPluginRequest.FromString(request.payload)

    def request(self, method: str, message: Message, pieces: int = 1) -> ttrpc_pb2.Response:
        """Call the plugin, the call cut into several frames, and take its answer."""
        self.next += 2
        request = ttrpc_pb2.Request(
            service="nri.pkg.api.v1alpha1.Plugin",
            method=method,
            payload=message.SerializeToString(),
        )
        data = self.message(PLUGIN, self.next, 1, request)
        step = -(-len(data) // pieces)
        for start in range(0, len(data), step):
            self.frame(PLUGIN, data[start : start + step])
        stream, kind, payload = self.receive(PLUGIN)
        assert (stream, kind) == (self.next, 2)
        return ttrpc_pb2.Response.FromString(payload)

    def bring_up(
        self, *containers: nri_pb2.Container, pods: tuple[nri_pb2.PodSandbox, ...] = ()
    ) -> int:
        """Register, configure and synchronise; returns the events that the plugin wants."""
        self.accept_registration()
        configured = self.request("Configure", nri_pb2.ConfigureRequest(runtime_name="containerd"))
        sync = nri_pb2.SynchronizeRequest(pods=pods, containers=containers)
        assert not self.request("Synchronize", sync).status.code
        return nri_pb2.ConfigureResponse.FromString(configured.payload).events


class FakeContainerd:
    """The listening side; a new one on the same path is a restarted containerd."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.listener.settimeout(5)
        self.connections: list[Connection] = []

    def accept(self) -> Connection:
        connection = Connection(self.listener.accept()[0])
        self.connections.append(connection)
        return connection

    def close(self) -> None:
        self.listener.close()
        for connection in self.connections:
            connection.trunk.close()
