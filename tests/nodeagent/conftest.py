"""The node that the agent's tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nodeagent import recovery, report
from nodeagent.paths import Paths
from nodeagent.server import CONTROLLER, Server
from nodeagent.service import NodeAgentService
from tests.fakes.kernel import FakeKernel
from tests.fakes.runtime import FakeRuntime
from tests.gate import conftest as gates
from tests.nodeagent.certificates import Authority
from tests.nodeagent.serving import Rig
from tests.nodeagent.warm import Warm
from tests.nodeagent.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

gate = gates.gate  # the real one, compiled


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    paths = Paths(tmp_path / "base")
    kernel = FakeKernel()
    recovery.prepare(paths, kernel)
    made = World(paths, kernel, FakeRuntime(tmp_path / "layers"))
    made.restart()
    yield made
    made.close()


@pytest.fixture
def warm(world: World, gate: Path) -> Iterator[Callable[..., Warm]]:
    """Make supervised containers with a real gate; they end with the test."""
    made: list[Warm] = []

    def make(*command: str) -> Warm:
        made.append(Warm(world, gate, *command))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
async def rig(world: World, tmp_path: Path) -> AsyncIterator[Rig]:
    authority = Authority()
    for name in ("agent", CONTROLLER, "somebody"):
        authority.issue(tmp_path / name, name)
    Authority().issue(tmp_path / "stranger", CONTROLLER)
    service = NodeAgentService(world.agent, world.store, lambda: report.debug(world.agent))
    server = Server(service, tmp_path / "agent")
    ports = await server.start("127.0.0.1", 0, 0)
    made = Rig(world, tmp_path, server, ports)
    yield made
    for channel in made.channels:
        await channel.close(None)
    await server.stop()
