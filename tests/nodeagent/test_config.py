"""The environment: defaults of the deployment, and wrong values refused at start."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeagent import config


def test_defaults_are_those_of_the_deployment() -> None:
    settings = config.from_environ({"NODE_NAME": "n1", "POD_IP": "10.0.0.7"})
    assert settings.base_dir == Path("/var/lib/stoppablecontainer")
    assert settings.containerd_socket == Path("/run/containerd/containerd.sock")
    assert settings.nri_socket == Path("/run/nri/nri.sock")
    assert (settings.port, settings.health_port, settings.metrics_port) == (9443, 9444, 9445)
    assert settings.listen == "10.0.0.7"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"STOPPABLECONTAINER_PORT": "0"},
        {"STOPPABLECONTAINER_PORT": "65536"},
        {"STOPPABLECONTAINER_PORT": "x"},
        {"STOPPABLECONTAINER_PORT": "\u00b2"},
        {"STOPPABLECONTAINER_BASE_DIR": "relative"},
        {"STOPPABLECONTAINER_BASE_DIR": "/a/../b"},
    ],
)
def test_wrong_values_are_refused(environ: dict[str, str]) -> None:
    name = {"NODE_NAME": "n1"} if environ else {}
    with pytest.raises(ValueError, match=r"must be|not set"):
        config.from_environ(name | environ)
