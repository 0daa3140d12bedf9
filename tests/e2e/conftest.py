"""The cluster and a fresh namespace for each end-to-end test."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.e2e.cluster import Cluster, Object, eventually, from_environment
from tests.e2e.stoppable import Stoppable

if TYPE_CHECKING:
    from collections.abc import Iterator


class Make(Protocol):
    """Applies a manifest and gives the StoppableContainer."""

    def __call__(self, wanted: Object) -> Stoppable: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the cluster."""
    for item in items:
        if "tests/e2e/" in item.path.as_posix():
            item.add_marker(pytest.mark.e2e)
    # By far the longest, so it begins first and the others fill the workers beside it.
    items.sort(key=lambda item: item.path.name != "test_same_as_a_pod.py")


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster, with an agent ready on every node."""
    found = from_environment()
    eventually(
        lambda: all(found.agent_ready(node) for node in found.nodes()),
        what="an agent ready on every node",
        deadline=120,
    )
    return found


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of its own; a StoppableContainer that cannot be deleted fails the test here."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    # Until then the API server refuses every bare pod.
    eventually(
        lambda: cluster.get("serviceaccount", "default", name), what="the namespace's own account"
    )
    yield name
    # A command that is PID 1 and deaf to SIGTERM has the usual 30 s of it.
    cluster.kubectl("delete", "stoppablecontainers", "--all", "-n", name, "--timeout=110s")
    # The namespace controller takes its 5 s whatever is in it.
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def make(cluster: Cluster, namespace: str) -> Make:
    """Create a StoppableContainer in the test's namespace."""

    def create(wanted: Object) -> Stoppable:
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(wanted))
        return Stoppable(cluster, namespace, wanted["metadata"]["name"])

    return create
