"""What the API server makes of what was written: who wrote it and when, and what of it is kept.

The managedFields are those of ConfigMaps and Secrets, all of whose writers are one here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controller.model import Body

PARTS = ("data", "stringData", "binaryData")


def note_writer(before: Body, after: Body, at: str) -> None:
    """The time moves when a value is written, and not when a key is only taken out."""
    parts = {part: after[part] for part in PARTS if part in after}
    if not parts:
        return
    written = any(
        (before.get(part) or {}).get(name) != value
        for part, values in parts.items()
        for name, value in values.items()
    )
    (old,) = before.get("metadata", {}).get("managedFields") or [{}]
    fields: Body = {f"f:{part}": {f"f:{one}": {} for one in parts[part]} for part in parts}
    time = at if written else old.get("time", at)
    entry = {"manager": "kubectl-edit", "operation": "Update", "time": time, "fieldsV1": fields}
    after["metadata"]["managedFields"] = [entry]


def stored(condition: Body) -> Body:
    """A condition of a pod or node as it is read: `omitempty`, so what is empty is not there."""
    return {name: value for name, value in condition.items() if value}
