"""What the controller writes into a pod, run: the gate understands it and the server sees it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc_health.v1 import health_pb2

from controller.supervision import GATE, hook_command, supervised
from tests.gate.processes import run
from tests.gate.servers import HERE, health_server, web

if TYPE_CHECKING:
    from tests.gate.told import Done, Told


def made(**container: Any) -> dict[str, Any]:
    first: dict[str, Any] = supervised({"containers": [container]})["containers"][0]
    return first


def run_by_kubelet(told: Told, command: list[str], *, expand: bool = True) -> Done:
    """As the kubelet does it: in a probe $$ becomes $, in a hook it does not."""
    assert command[0] == GATE
    words = [word.replace("$$", "$") if expand else word for word in command[1:]]
    return run(Path(told.gate), *words)


def test_http_probe_and_hook_ask_what_the_pod_says(told: Told) -> None:
    told.that_it_is("running")
    with web() as server:
        get = {
            "httpGet": {
                "port": "web",
                "host": HERE,
                "path": "/200/a b/$(C)?d=\u00e4#e",
                "httpHeaders": [{"name": "X-A", "value": " $$(B): \u00e4 "}],
            }
        }
        ports = [{"name": "web", "containerPort": server.port}]
        container = made(
            ports=ports,
            livenessProbe=get | {"initialDelaySeconds": 3},
            startupProbe=get,
            readinessProbe=get | {"timeoutSeconds": 5},
            lifecycle={"postStart": get, "preStop": get},
        )
        for field in ("livenessProbe", "startupProbe", "readinessProbe"):
            assert run_by_kubelet(told, container[field]["exec"]["command"]).returncode == 0
        for which in ("postStart", "preStop"):
            done = run_by_kubelet(told, hook_command(container, which), expand=False)
            assert done.returncode == 0
        assert server.paths == ["/200/a%20b/$(C)?d=%C3%A4"] * 5
        # UTF-8, as this server decodes it.
        value = "$$(B): \u00e4".encode().decode("latin-1")
        assert all(("X-A", value) in headers for headers in server.headers)


def test_the_other_probes_and_hooks_are_understood(told: Told) -> None:
    told.that_it_is("running")
    with web() as server:
        container = made(
            livenessProbe={"tcpSocket": {"port": server.port, "host": HERE}},
            readinessProbe={"exec": {"command": ["sh", "-c", "exit 4"]}},
            lifecycle={
                "postStart": {"exec": {"command": ["sh", "-c", "exit 5"]}},
                "preStop": {"sleep": {"seconds": 0}},
            },
        )
        assert run_by_kubelet(told, container["livenessProbe"]["exec"]["command"]).returncode == 0
    assert run_by_kubelet(told, container["readinessProbe"]["exec"]["command"]).returncode == 4
    assert run_by_kubelet(told, hook_command(container, "postStart")).returncode == 5
    assert run_by_kubelet(told, hook_command(container, "preStop")).returncode == 0


def test_grpc_probe_asks_for_the_pods_service(told: Told) -> None:
    told.that_it_is("running")
    service = "a.$(B)"
    with health_server(**{service: health_pb2.HealthCheckResponse.SERVING}) as port:
        container = made(readinessProbe={"grpc": {"port": port, "service": service}})
        command = container["readinessProbe"]["exec"]["command"]
        # The pod's address is not where this server listens.
        at = command.index(str(port)) + 1
        command[at:at] = ["-h", HERE]
        assert run_by_kubelet(told, command).returncode == 0
