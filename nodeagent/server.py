"""The listeners: the service behind mTLS, and health alone on a plain port for kubelet.

__main__ starts and stops it; who may call what is decided here, before service.py sees a request.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from proto import nodeagent_pb2, nodeagent_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from nodeagent.service import NodeAgentService

    _Handler = grpc.RpcMethodHandler[Any, Any]

CONTROLLER = "stoppablecontainer-controller"
READINESS = "readiness"
_SERVICE = nodeagent_pb2.DESCRIPTOR.services_by_name["NodeAgent"].full_name
_REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/"
_GRACE = 5.0

# Who may call what, by the common name of the client's certificate. What is not named here, nobody
# may.
ALLOWED: dict[str, frozenset[str]] = {
    f"/{_SERVICE}/{method.name}": frozenset({CONTROLLER})
    for method in nodeagent_pb2.DESCRIPTOR.services_by_name["NodeAgent"].methods
}
_OPTIONS = [
    ("grpc.so_reuseport", 0),  # a second agent on this port must fail, not take half of the calls
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 1024 * 1024),
]


def _allowed(method: str) -> frozenset[str]:
    if method.startswith((_REFLECTION, "/grpc.health.v1.Health/")):
        return frozenset({CONTROLLER})
    return ALLOWED.get(method, frozenset())


def _names(context: grpc.aio.ServicerContext[Any, Any]) -> set[str]:
    found = context.auth_context().get("x509_common_name", [])
    return {name.decode("utf-8", "replace") for name in found}


class Authoriser(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Checks the peer's name for each method; the peer is known only inside the handler."""

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]
        ],
        details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """Wrap the method's handler in the check."""
        handler = await continuation(details)
        if handler is None:
            return handler
        allowed = _allowed(details.method)

        async def check(context: grpc.aio.ServicerContext[Any, Any]) -> None:
            if not _names(context) & allowed:
                text = f"{sorted(_names(context))} may not call {details.method}"
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, text)

        return _wrapped(handler, check)


def _wrapped(handler: Any, check: Callable[[Any], Awaitable[None]]) -> _Handler:
    if handler.response_streaming:
        inner = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def stream(request: object, context: object) -> AsyncIterator[object]:
            await check(context)
            async for reply in inner(request, context):
                yield reply

        make: Any = (
            grpc.stream_stream_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_stream_rpc_method_handler
        )
        made: _Handler = make(stream, handler.request_deserializer, handler.response_serializer)
        return made
    call = handler.stream_unary if handler.request_streaming else handler.unary_unary

    async def unary(request: object, context: object) -> object:
        await check(context)
        return await call(request, context)

    make = (
        grpc.stream_unary_rpc_method_handler
        if handler.request_streaming
        else grpc.unary_unary_rpc_method_handler
    )
    result: _Handler = make(unary, handler.request_deserializer, handler.response_serializer)
    return result


class Credentials:
    """Credentials that follow the files: every new connection sees the newest."""

    def __init__(self, folder: Path) -> None:
        """Read the files once; a missing one is an error at start."""
        self._folder = folder
        self._last = self._read()
        self.credentials = grpc.dynamic_ssl_server_credentials(
            self._configuration(self._last),
            self._fetch,  # type: ignore[arg-type] # None means unchanged
            require_client_authentication=True,
        )

    def _read(self) -> tuple[bytes, bytes, bytes]:
        names = ("tls.key", "tls.crt", "ca.crt")
        key, certificate, ca = ((self._folder / name).read_bytes() for name in names)
        return key, certificate, ca

    def _configuration(
        self, files: tuple[bytes, bytes, bytes]
    ) -> grpc.ServerCertificateConfiguration:
        key, certificate, ca = files
        return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=ca)

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        # Runs in a thread of the core; on an error the old certificate stays.
        files = self._read()
        if files == self._last:
            return None
        self._last = files
        return self._configuration(files)


class Server:
    """Both listeners with one health state."""

    def __init__(self, service: NodeAgentService, tls_dir: Path) -> None:
        """Build both; nothing listens yet."""
        self._service = service
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]
        self._plain = grpc.aio.server(options=_OPTIONS)
        self._secure = grpc.aio.server(
            interceptors=[Authoriser()], options=_OPTIONS, maximum_concurrent_rpcs=256
        )
        self._credentials = Credentials(tls_dir)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._plain)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._secure)
        nodeagent_pb2_grpc.add_NodeAgentServicer_to_server(  # type: ignore[no-untyped-call]
            service, self._secure
        )
        names = (_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._secure)

    async def start(self, address: str, port: int, health_port: int) -> tuple[int, int]:
        """Listen; returns the ports, which differ from what was asked for only when that was 0."""
        await self.set_ready(ready=False)
        plain = self._plain.add_insecure_port(f"{address}:{health_port}")
        secure = self._secure.add_secure_port(f"{address}:{port}", self._credentials.credentials)
        await self._plain.start()
        await self._secure.start()
        return secure, plain

    async def set_ready(self, *, ready: bool) -> None:
        """Tell kubelet's readiness probe."""
        serving = health_pb2.HealthCheckResponse.ServingStatus
        await self._health.set(READINESS, serving.SERVING if ready else serving.NOT_SERVING)

    async def stop(self) -> None:
        """End the streams first: an open one would use up the whole grace."""
        await self._health.enter_graceful_shutdown()
        self._service.stop_streams()
        await asyncio.gather(self._secure.stop(_GRACE), self._plain.stop(_GRACE))
