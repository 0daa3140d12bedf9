"""An event loop whose clock jumps.

Sleeping costs nothing, waiting for what never comes fails at once.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


class JumpingSelector(selectors.SelectSelector):
    """Instead of waiting it moves the clock."""

    jump = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Never blocks."""
        if timeout is None:
            raise AssertionError("everything waits and nothing is due")
        if timeout > 0:
            self.jump += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time` moves only when everything waits."""

    def __init__(self) -> None:
        self.jumping = JumpingSelector()
        super().__init__(self.jumping)

    def time(self) -> float:
        return 1000.0 + self.jumping.jump


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs a test's coroutine to its end in virtual time."""
    loop = VirtualLoop()
    try:
        loop.run_until_complete(main)
    finally:
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        if pending:
            loop.run_until_complete(asyncio.wait(pending))
        loop.close()


def now() -> float:
    """The virtual clock."""
    return asyncio.get_running_loop().time()
