"""The node that the agent's tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nodeagent import recovery
from nodeagent.paths import Paths
from tests.fakes.kernel import FakeKernel
from tests.fakes.runtime import FakeRuntime
from tests.nodeagent.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    paths = Paths(tmp_path / "base")
    kernel = FakeKernel()
    recovery.prepare(paths, kernel)
    made = World(paths, kernel, FakeRuntime(tmp_path / "layers"))
    made.restart()
    yield made
    made.close()
