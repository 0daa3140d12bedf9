"""Parts of objects whose shape nobody has promised: what is not of the shape is empty; pure."""

from __future__ import annotations

from typing import Any


def as_dict(value: object) -> dict[str, Any]:
    """The object itself, or an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """The list itself, or an empty one."""
    return value if isinstance(value, list) else []
