"""The agent's configuration from its environment; the only reader of os.environ.

__main__ builds it once and hands each part what it needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = "STOPPABLECONTAINER_"
_MAX_PORT = 65535
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that a deployment may set."""

    node: str
    listen: str
    base_dir: Path
    run_dir: Path
    containerd_socket: Path
    nri_socket: Path
    tls_dir: Path
    port: int
    health_port: int
    metrics_port: int
    gate_source: Path
    log_level: str


def _absolute(text: str, name: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or ".." in path.parts:
        message = f"{name} must be an absolute path without '..', not {text!r}"
        raise ValueError(message)
    return path


def _port(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= _MAX_PORT:
        message = f"{name} must be a port number, not {text!r}"
        raise ValueError(message)
    return int(text)


def _level(text: str, name: str) -> str:
    if text.upper() not in _LEVELS:
        message = f"{name} must be one of {', '.join(_LEVELS)}, not {text!r}"
        raise ValueError(message)
    return text.upper()


def from_environ(environ: Mapping[str, str]) -> Config:
    """Read the environment; a wrong value is an error at start, not at the first call."""
    node = environ.get("NODE_NAME", "")
    if not node:
        message = "NODE_NAME is not set: it names the node that this agent serves"
        raise ValueError(message)

    def value(name: str, default: str) -> tuple[str, str]:
        return environ.get(_PREFIX + name, default), _PREFIX + name

    return Config(
        node=node,
        listen=environ.get("POD_IP", "") or "127.0.0.1",
        base_dir=_absolute(*value("BASE_DIR", "/var/lib/stoppablecontainer")),
        run_dir=_absolute(*value("RUN_DIR", "/run/stoppablecontainer")),
        containerd_socket=_absolute(*value("CONTAINERD_SOCKET", "/run/containerd/containerd.sock")),
        nri_socket=_absolute(*value("NRI_SOCKET", "/run/nri/nri.sock")),
        tls_dir=_absolute(*value("TLS_DIR", "/etc/stoppablecontainer/tls")),
        port=_port(*value("PORT", "9443")),
        health_port=_port(*value("HEALTH_PORT", "9444")),
        metrics_port=_port(*value("METRICS_PORT", "9445")),
        gate_source=_absolute(*value("GATE", "/usr/local/libexec/stoppablecontainer/gate")),
        log_level=_level(*value("LOG_LEVEL", "INFO")),
    )
