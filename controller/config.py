"""What the environment says: the only os.environ, read once by `__main__`."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one replica."""

    pod_name: str
    namespace: str
    kubeconfig: str
    port: int
    log_level: str


def read_config() -> Config:
    """Settings out of the environment; in a pod KUBECONFIG is not set."""
    return Config(
        pod_name=os.environ.get("POD_NAME", "controller"),
        namespace=os.environ.get("POD_NAMESPACE", "stoppablecontainer-system"),
        kubeconfig=os.environ.get("KUBECONFIG", ""),
        port=int(os.environ.get("STOPPABLECONTAINER_PORT", "8080")),
        log_level=os.environ.get("STOPPABLECONTAINER_LOG_LEVEL", "INFO").upper(),
    )
