"""containerd's multiplexed socket: two connections of ttrpc in frames; nri.py speaks through it.

Whatever comes in is bounded before it is kept.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from google.protobuf.message import Message

PLUGIN, RUNTIME = 1, 2  # the two connections in the trunk: they call us; we call them
REQUEST, RESPONSE = 1, 2
_TRUNK_HEADER = struct.Struct(">II")
_HEADER = struct.Struct(">IIBB")
_MAX_MESSAGE = 4 << 20
_MAX_FRAME = _MAX_MESSAGE + _HEADER.size
_CHUNK = 4096  # Go's side reads a frame in one read of its 4 KiB buffer, or fails with ENOMEM


class ProtocolError(Exception):
    """The other side does not speak NRI as we know it; the connection is given up."""


class Trunk:
    """The multiplexed socket: frames in, whole ttrpc messages out."""

    def __init__(self, trunk: socket.socket) -> None:
        """Take a connected socket."""
        self._socket = trunk
        self._streams: dict[int, bytearray] = {PLUGIN: bytearray(), RUNTIME: bytearray()}

    def send(self, connection: int, stream: int, kind: int, message: Message) -> None:
        """Write one ttrpc message, in frames that Go can read."""
        payload = message.SerializeToString()
        data = _HEADER.pack(len(payload), stream, kind, 0) + payload
        frames = [data[i : i + _CHUNK] for i in range(0, len(data), _CHUNK)]
        self._socket.sendall(b"".join(_TRUNK_HEADER.pack(connection, len(f)) + f for f in frames))

    def messages(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield (connection, stream, type, payload) until the other side is gone."""
        while True:
            connection, length = _TRUNK_HEADER.unpack(self._exactly(_TRUNK_HEADER.size))
            if length > _MAX_FRAME or connection not in self._streams:
                message = f"frame of {length} bytes on connection {connection}"
                raise ProtocolError(message)
            buffer = self._streams[connection]
            buffer += self._exactly(length)
            while (message_parts := self._take(buffer)) is not None:
                yield connection, *message_parts

    def _take(self, buffer: bytearray) -> tuple[int, int, bytes] | None:
        if len(buffer) < _HEADER.size:
            return None
        length, stream, kind, _ = _HEADER.unpack_from(buffer)
        if length > _MAX_MESSAGE:
            message = f"message of {length} bytes"
            raise ProtocolError(message)
        end = _HEADER.size + length
        if len(buffer) < end:
            return None
        payload = bytes(buffer[_HEADER.size : end])
        del buffer[:end]
        return stream, kind, payload

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._socket.recv(min(size - len(parts), 1 << 16))
            if not part:
                message = "the runtime closed the connection"
                raise ConnectionError(message)
            parts += part
        return bytes(parts)
