"""Where the gate's tests run it: beside other processes, or as PID 1 of a namespace."""

from __future__ import annotations

import os

import pytest

PATIENCE = 10.0

Place = tuple[str, ...]

UNSHARE: Place = (
    "unshare",
    *(() if os.geteuid() == 0 else ("--user", "--map-root-user")),
    *("--pid", "--fork", "--kill-child"),
)
AS_PID_1: Place = (*UNSHARE, "--mount-proc")
PLACES = pytest.mark.parametrize(
    "place", [pytest.param((), id="beside"), pytest.param(AS_PID_1, id="pid-1")]
)
