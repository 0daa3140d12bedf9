"""How the API server puts a patch, or what a manager applies, into what is there; for `kube`."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.model import Body


def merge_patch(target: Body, patch: Mapping[str, Any]) -> None:
    """RFC 7386."""
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        elif isinstance(value, dict):
            below = target.setdefault(name, {})
            merge_patch(below, value)
        else:
            target[name] = copy.deepcopy(value)


def merge_applied(present: Body, before: Body, body: Body, parts: tuple[str, ...]) -> Body:
    """What one manager applied before and does not any more goes; what it applies now is set."""
    wanted = copy.deepcopy(present)
    for part in parts:
        if part in body or part in before:
            wanted[part] = _merge(
                present.get(part) or {}, before.get(part) or {}, body.get(part) or {}
            )
    if parts == ("spec",):
        for field in ("finalizers", "ownerReferences"):
            old, new = before.get("metadata", {}), body["metadata"]
            kept = [
                one
                for one in present["metadata"].get(field) or []
                if one not in (old.get(field) or [])
            ]
            merged = kept + [one for one in new.get(field) or [] if one not in kept]
            wanted["metadata"][field] = merged
    return wanted


def _merge(present: Body, before: Body, body: Body) -> Body:
    kept = {name: value for name, value in present.items() if name in body or name not in before}
    for name, value in body.items():
        old, known = before.get(name), kept.get(name)
        if isinstance(value, dict) and isinstance(known, dict):
            kept[name] = _merge(known, old if isinstance(old, dict) else {}, value)
        else:
            kept[name] = copy.deepcopy(value)
    return kept
