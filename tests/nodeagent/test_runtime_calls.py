"""What is asked of a containerd for a warm container, against a server on a unix socket."""

from __future__ import annotations

from concurrent import futures
from typing import TYPE_CHECKING

import grpc
import pytest

from nodeagent.errors import AgentError
from nodeagent.runtime import Containerd
from proto.vendor import containers_pb2, cri_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from google.protobuf.message import Message

_EXEC = "/runtime.v1.RuntimeService/ExecSync"
_GET = "/containerd.services.containers.v1.Containers/Get"


class Server(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Answers two calls, and keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[cri_pb2.ExecSyncRequest] = []
        self.container = containers_pb2.Container(id="c1")

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Message, Message] | None:
        if handler_call_details.method == _EXEC:
            return grpc.unary_unary_rpc_method_handler(
                self._exec, cri_pb2.ExecSyncRequest.FromString, _bytes
            )
        if handler_call_details.method == _GET:
            return grpc.unary_unary_rpc_method_handler(
                lambda _request, _context: containers_pb2.GetContainerResponse(
                    container=self.container
                ),
                containers_pb2.GetContainerRequest.FromString,
                _bytes,
            )
        return None

    def _exec(
        self, request: cri_pb2.ExecSyncRequest, context: grpc.ServicerContext
    ) -> cri_pb2.ExecSyncResponse:
        self.asked.append(request)
        if request.cmd == ["absent"]:
            context.abort(grpc.StatusCode.UNKNOWN, "no such file")
        return cri_pb2.ExecSyncResponse(exit_code=7 if request.cmd == ["fail"] else 0)


def _bytes(message: Message) -> bytes:
    return message.SerializeToString()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Server, Containerd]]:
    handler, pool = Server(), futures.ThreadPoolExecutor(2)
    serving = grpc.server(pool, handlers=[handler])
    serving.add_insecure_port(f"unix://{tmp_path}/c.sock")
    serving.start()
    runtime = Containerd(tmp_path / "c.sock")
    yield handler, runtime
    runtime.close()
    serving.stop(None).wait()


def test_a_hook_runs_in_its_container_for_its_time(server: tuple[Server, Containerd]) -> None:
    handler, runtime = server
    assert runtime.exec("c1", ("true",), 2.5) == 0
    assert runtime.exec("c1", ("fail",), 2.5) == 7
    with pytest.raises(AgentError, match="no such file"):
        runtime.exec("c1", ("absent",), 2.5)
    asked = handler.asked[0]
    assert (asked.container_id, list(asked.cmd), asked.timeout) == ("c1", ["true"], 3)


def test_the_signal_is_what_the_cri_has_stored(server: tuple[Server, Containerd]) -> None:
    handler, runtime = server
    assert runtime.stop_signal("c1") == 15
    stored = b'{"Version":"v1","Metadata":{"StopSignal":"SIGQUIT"}}'
    handler.container.extensions["io.cri-containerd.container.metadata"].value = stored
    assert runtime.stop_signal("c1") == 3
