"""The user's cache folder: one builder at a time, and a build counts only when it is complete."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deploy.local.paths import CACHE

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def building(what: str) -> Iterator[None]:
    """Wait until nobody else builds it; look again whether it is still missing."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f".{what}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
