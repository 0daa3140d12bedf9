"""Stub."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from controller import names

if TYPE_CHECKING:
    from controller.model import Body, Template


def unsupported(template: Template) -> str:
    """Stub."""
    return "" if len(template.pod["containers"]) == 1 else "more than one container"


def supervised(spec: Body) -> Body:
    """Stub."""
    new = copy.deepcopy(spec)
    new["readinessGates"] = [
        *(spec.get("readinessGates") or []),
        {"conditionType": names.RUNNING_CONDITION},
    ]
    return new


def hook_command(container: Body, which: str) -> list[str]:
    """Stub."""
    hook = (container.get("lifecycle") or {}).get(which) or {}
    return list((hook.get("exec") or {}).get("command") or [])
