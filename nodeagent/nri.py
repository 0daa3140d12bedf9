"""The NRI client: registers, answers events, in a thread that reconnects for ever.

Events go to a Plugin (admission.py) as plain values; its errors go back as text for pods' status.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Protocol

import structlog
from google.protobuf.message import DecodeError

from nodeagent.errors import AgentError
from nodeagent.model import ContainerEvent
from nodeagent.trunk import PLUGIN, REQUEST, RESPONSE, RUNTIME, ProtocolError, Trunk
from proto.vendor import nri_pb2, ttrpc_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from google.protobuf.message import Message

_UNKNOWN, _UNIMPLEMENTED = 2, 12  # google.rpc.Code
_TEXT_LIMIT = 1024
_BACKOFF = (0.05, 0.1, 0.2, 0.5, 1.0)
_log = structlog.get_logger()


class Plugin(Protocol):
    """Who answers the events."""

    def synchronize(self, containers: Sequence[ContainerEvent]) -> None:
        """See what runs already."""
        ...

    def create_container(self, event: ContainerEvent) -> None:
        """Let a container be created, or raise."""
        ...

    def post_create_container(self, event: ContainerEvent) -> None:
        """Act on a stored container, or raise."""
        ...

    def start_container(self, event: ContainerEvent) -> None:
        """Let a container start, or raise."""
        ...

    def post_start_container(self, event: ContainerEvent) -> None:
        """See that a container was started."""
        ...

    def answered(self) -> None:
        """Do what could wait: the runtime, and with it every other container, goes on."""
        ...


class Client:
    """One plugin for one socket path; run() lives as long as the program."""

    def __init__(
        self,
        path: Path,
        plugin: Plugin,
        on_change: Callable[[bool, str], None],
        on_event: Callable[[str, float], None],
        *,
        name: str = "stoppablecontainer",
        index: str = "90",
    ) -> None:
        """Name the socket, who answers, and who is told the state and each event's time.

        The runtime calls a node's plugins in the order of their two-digit index.
        """
        self._name, self._index = name, index
        self._path, self._plugin = path, plugin
        self._on_change, self._on_event = on_change, on_event
        self._stop = threading.Event()
        self._socket: socket.socket | None = None
        self._synced: list[ContainerEvent] = []
        self._pods: dict[str, nri_pb2.PodSandbox] = {}
        self._ready = False

    def start(self) -> threading.Thread:
        """Run in a thread that does nothing else: all requests of a node wait for it."""
        thread = threading.Thread(target=self.run, name="nri", daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """End the connection and the thread."""
        self._stop.set()
        trunk = self._socket
        if trunk is not None:
            try:
                trunk.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

    def run(self) -> None:
        """Connect, serve, connect again; containerd makes a new socket at each start."""
        failures = 0
        while not self._stop.is_set():
            started = time.monotonic()
            why = self._serve_once()
            if self._stop.is_set():
                return
            self._on_change(False, why)
            failures = 0 if time.monotonic() - started > _BACKOFF[-1] else failures + 1
            self._stop.wait(_BACKOFF[min(failures, len(_BACKOFF) - 1)])

    def _serve_once(self) -> str:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as trunk:
                trunk.settimeout(5.0)
                trunk.connect(str(self._path))
                trunk.settimeout(None)
                self._socket = trunk
                self._serve(Trunk(trunk))
        except (OSError, ProtocolError, DecodeError) as error:
            return f"{type(error).__name__}: {error}"
        except Exception as error:  # noqa: BLE001 - without this thread no consumer of the node starts any more
            _log.exception("nri connection failed by a bug")
            return f"{type(error).__name__}: {error}"
        finally:
            self._socket = None
        return "closed"

    def _serve(self, trunk: Trunk) -> None:
        self._synced, self._pods, self._ready = [], {}, False
        register = nri_pb2.RegisterPluginRequest(
            plugin_name=self._name, plugin_idx=self._index, NRI_version="v0.12.0"
        )
        request = ttrpc_pb2.Request(
            service="nri.pkg.api.v1alpha1.Runtime",
            method="RegisterPlugin",
            payload=register.SerializeToString(),
            timeout_nano=5_000_000_000,
        )
        trunk.send(RUNTIME, 1, REQUEST, request)
        for connection, stream, kind, payload in trunk.messages():
            if connection == RUNTIME:
                answer = ttrpc_pb2.Response.FromString(payload)
                if answer.status.code:
                    message = f"the runtime refused the plugin: {answer.status.message[:200]}"
                    raise ProtocolError(message)
            elif kind == REQUEST:
                self._answer(trunk, stream, ttrpc_pb2.Request.FromString(payload))

    def _answer(self, trunk: Trunk, stream: int, request: ttrpc_pb2.Request) -> None:
        started = time.perf_counter()
        response = ttrpc_pb2.Response()
        try:
            response.payload = self._dispatch(request.method, request.payload).SerializeToString()
        except AgentError as error:
            _log.warning("refused", nri=request.method, error=str(error))
            # The pod's status shows this text, and the controller knows it by our name.
            said = f"stoppablecontainer: {error}"[:_TEXT_LIMIT]
            response.status.code, response.status.message = _UNKNOWN, said
        except NotImplementedError:
            response.status.code, response.status.message = _UNIMPLEMENTED, request.method[:80]
        except Exception as error:  # noqa: BLE001 - a lost connection would fail open
            _log.exception("nri handler failed", nri=request.method)
            response.status.code, response.status.message = _UNKNOWN, f"internal: {error!r:.200}"
        trunk.send(PLUGIN, stream, RESPONSE, response)
        self._on_event(request.method[:40], time.perf_counter() - started)
        self._plugin.answered()
        if request.method == "Synchronize" and self._ready:
            self._on_change(True, "")

    def _dispatch(self, method: str, payload: bytes) -> Message:
        match method:
            case "Configure":
                return nri_pb2.ConfigureResponse(events=_EVENTS)
            case "Synchronize":
                return self._synchronize(nri_pb2.SynchronizeRequest.FromString(payload))
            case "CreateContainer":
                created = nri_pb2.CreateContainerRequest.FromString(payload)
                self._plugin.create_container(_event(created.pod, created.container))
                return nri_pb2.CreateContainerResponse()
            case "PostCreateContainer":
                stored = nri_pb2.PostCreateContainerRequest.FromString(payload)
                self._plugin.post_create_container(_event(stored.pod, stored.container))
                return nri_pb2.PostCreateContainerResponse()
            case "StartContainer":
                starting = nri_pb2.StartContainerRequest.FromString(payload)
                self._plugin.start_container(_event(starting.pod, starting.container))
                return nri_pb2.StartContainerResponse()
            case "PostStartContainer":
                begun = nri_pb2.PostStartContainerRequest.FromString(payload)
                self._plugin.post_start_container(_event(begun.pod, begun.container))
                return nri_pb2.PostStartContainerResponse()
            case "StateChange":  # how NRI below 0.12 sends the last three
                return self._state_change(nri_pb2.StateChangeEvent.FromString(payload))
            case "Shutdown":
                return nri_pb2.Empty()
        raise NotImplementedError(method)

    def _state_change(self, change: nri_pb2.StateChangeEvent) -> Message:
        if change.event == nri_pb2.POST_CREATE_CONTAINER:
            self._plugin.post_create_container(_event(change.pod, change.container))
        elif change.event == nri_pb2.START_CONTAINER:
            self._plugin.start_container(_event(change.pod, change.container))
        elif change.event == nri_pb2.POST_START_CONTAINER:
            self._plugin.post_start_container(_event(change.pod, change.container))
        return nri_pb2.Empty()

    def _synchronize(self, request: nri_pb2.SynchronizeRequest) -> Message:
        # A long list comes in parts, and a container's pod may have come in an earlier one.
        self._pods |= {pod.id: pod for pod in request.pods}
        self._synced += [
            _event(self._pods.get(c.pod_sandbox_id, nri_pb2.PodSandbox()), c)
            for c in request.containers
        ]
        if not request.more:
            self._plugin.synchronize(self._synced)
            self._synced, self._pods, self._ready = [], {}, True
        return nri_pb2.SynchronizeResponse(more=request.more)


_EVENTS = sum(
    1 << (event - 1)
    for event in (
        nri_pb2.CREATE_CONTAINER,
        nri_pb2.POST_CREATE_CONTAINER,
        nri_pb2.START_CONTAINER,
        nri_pb2.POST_START_CONTAINER,
    )
)


def _event(pod: nri_pb2.PodSandbox, container: nri_pb2.Container) -> ContainerEvent:
    return ContainerEvent(
        pod.uid,
        pod.namespace,
        pod.name,
        container.id,
        container.name,
        container.pid,
        sandbox_id=pod.id,
        runtime_handler=pod.runtime_handler,
    )
