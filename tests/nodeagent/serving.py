"""A serving agent and its callers, for the tests of what goes over the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from nodeagent.server import CONTROLLER
from proto import nodeagent_pb2 as pb
from proto import nodeagent_pb2_grpc as pb_grpc
from tests.nodeagent.certificates import SERVER_NAME
from tests.nodeagent.world import UID

if TYPE_CHECKING:
    from pathlib import Path

    from nodeagent.server import Server
    from tests.nodeagent.world import World

POD = "1b2c3d4e-0000-4000-8000-000000000001"
TIMEOUT = 10


class Rig:
    """A serving agent, and channels to it."""

    def __init__(self, world: World, folder: Path, server: Server, ports: tuple[int, int]) -> None:
        self.world, self.folder, self.server = world, folder, server
        self.port, self.plain = ports
        self.channels: list[grpc.aio.Channel] = []

    def channel(self, name: str | None) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials((self.folder / "agent/ca.crt").read_bytes())
        if name is not None:
            client = self.folder / name
            credentials = grpc.ssl_channel_credentials(
                (client / "ca.crt").read_bytes(),
                (client / "tls.key").read_bytes(),
                (client / "tls.crt").read_bytes(),
            )
        options = [("grpc.ssl_target_name_override", SERVER_NAME)]
        made = grpc.aio.secure_channel(f"127.0.0.1:{self.port}", credentials, options)
        self.channels.append(made)
        return made

    def stub(self, name: str | None = CONTROLLER) -> pb_grpc.NodeAgentStub:
        return pb_grpc.NodeAgentStub(self.channel(name))  # type: ignore[no-untyped-call]


def ensure(**change: object) -> pb.EnsureRootRequest:
    fields: dict[str, object] = {
        "fence": 1,
        "uid": UID,
        "namespace": "ns",
        "name": "app",
        "image": "busybox",
        "image_id": "img",
    }
    return pb.EnsureRootRequest(**(fields | change))  # type: ignore[arg-type]


def admit(**change: object) -> pb.AdmitPodRequest:
    fields: dict[str, object] = {
        "fence": 1,
        "root_uid": UID,
        "role": pb.CONSUMER,
        "namespace": "ns",
        "pod_name": "app",
        "pod_uid": POD,
        "container": "main",
    }
    return pb.AdmitPodRequest(**(fields | change))  # type: ignore[arg-type]


def start(**change: object) -> pb.StartProcessRequest:
    fields: dict[str, object] = {"fence": 1, "uid": UID, "pod_uid": POD}
    return pb.StartProcessRequest(**(fields | change))  # type: ignore[arg-type]


def stop(**change: object) -> pb.StopProcessRequest:
    fields: dict[str, object] = {"fence": 1, "uid": UID, "pod_uid": POD}
    return pb.StopProcessRequest(**(fields | change))  # type: ignore[arg-type]


def root(fence: int = 1) -> pb.RootRequest:
    return pb.RootRequest(fence=fence, uid=UID)


async def code_of(call: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return caught.value.code(), caught.value.details() or ""
