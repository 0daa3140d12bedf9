"""Where a kept container took its environment from, and what of that has changed since; pure.

`pods` finds the ConfigMaps and Secrets in a pod, `sources` reads when they changed, `conditions`
says it.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from controller.shapes import as_dict, as_list

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_SOURCES: Final = 64
MAX_NAMED: Final = 5
# What can be the name of an object, so that it can be put into a URL; the API takes any for a
# reference.
NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
CONTENTS: Final = frozenset({"f:data", "f:stringData", "f:binaryData"})
ANEW = "the next cold start takes that (set stopMode to Cold and stop, or delete the pod)"
MISSED = "and does not come up without what was deleted"


class SourceKind(StrEnum):
    """What variables can be taken from."""

    CONFIG_MAP = "ConfigMap"
    SECRET = "Secret"  # noqa: S105 - a kind


REFERENCES: Final = {
    "configMapRef": SourceKind.CONFIG_MAP,
    "secretRef": SourceKind.SECRET,
    "configMapKeyRef": SourceKind.CONFIG_MAP,
    "secretKeyRef": SourceKind.SECRET,
}


class Source(NamedTuple):
    """One object; optional when no reference to it needs it."""

    kind: SourceKind
    name: str
    optional: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Environment(NamedTuple):
    """Of the first container of a pod. Times are seconds since the epoch, 0: not known."""

    sources: tuple[Source, ...] = ()
    made: int = 0
    # Another one after each stop and start, whoever did it: when, and which of the two it was.
    turn: tuple[int, str] = (0, "")


class Found(NamedTuple):
    """A source as its metadata was: when its contents changed last, or why that is not known."""

    source: Source
    changed: int = 0
    gone: bool = False
    denied: bool = False


class Read(NamedTuple):
    """What was found for this pod, at this turn."""

    pod: str
    turn: tuple[int, str]
    found: tuple[Found, ...]


NOTHING: Final = Environment()


def environment(
    spec: Mapping[str, Any], status: Mapping[str, Any], told: Mapping[str, Any]
) -> Environment:
    """Of a pod; `told` is the condition by which it is told whether its command runs."""
    first = as_dict(spec["containers"][0])
    found = sources(first)
    if not found:
        return NOTHING
    entries = (as_dict(one) for one in as_list(status.get("containerStatuses")))
    states = (one.get("state") for one in entries if one.get("name") == first.get("name"))
    running = as_dict(as_dict(next(states, None)).get("running"))
    made = seconds(running.get("startedAt"))
    turned = max(made, seconds(told.get("lastTransitionTime")))
    return Environment(found, made, (turned, str(told.get("status") or "")))


def sources(container: Mapping[str, Any]) -> tuple[Source, ...]:
    """What a container refers to, each once; one more than is looked at, which tells of more."""
    found: dict[tuple[SourceKind, str], bool] = {}
    for kind, reference in _references(container):
        name, optional = reference.get("name"), reference.get("optional") is True
        if isinstance(name, str) and NAME.fullmatch(name):
            found[kind, name] = optional and found.get((kind, name), True)
    every = (Source(kind, name, optional) for (kind, name), optional in found.items())
    return tuple(every)[: MAX_SOURCES + 1]


def last_change(metadata: Mapping[str, Any]) -> int:
    """When the contents changed last, by what the API server notes of each writer.

    A writer has one time for all that it wrote, so a label may count; a key that was taken out and
    nothing else is not noted at all.
    """
    writers = (as_dict(one) for one in as_list(metadata.get("managedFields")))
    wrote = [one for one in writers if CONTENTS & as_dict(one.get("fieldsV1")).keys()]
    times = [metadata.get("creationTimestamp"), *(one.get("time") for one in wrote)]
    return max(seconds(time) for time in times)


def what_changed(read: Read, made: int) -> str:
    """Which sources are not what the container was made from, and what to do; empty: none."""
    gone = [one for one in read.found if one.gone and not one.source.optional]
    words = [f"{one.source} changed" for one in read.found if one.changed > made]
    words += [f"{one.source} was deleted" for one in gone]
    if not words:
        return ""
    said = f"{_some(words)} after the container was made: {ANEW}"
    return f"{said} {MISSED}" if gone else said


def what_is_denied(read: Read) -> str:
    """Which sources the controller may not look at, and what would let it; empty: none."""
    denied = [one.source for one in read.found if one.denied]
    if not denied:
        return ""
    said = f"the controller may not look at {_some([str(one) for one in denied])}"
    if any(one.kind is SourceKind.SECRET for one in denied):
        return f"{said}: the Helm value controller.readSecretMetadata lets it look at Secrets"
    return f"{said}: it lacks the right to get them"


def seconds(time: object) -> int:
    """A time of the API since the epoch; 0 when it is none."""
    if not isinstance(time, str):
        return 0
    try:
        at = datetime.fromisoformat(time)
    except ValueError:
        return 0
    return max(0, int(at.timestamp())) if at.tzinfo else 0


def _references(container: Mapping[str, Any]) -> Iterator[tuple[SourceKind, Any]]:
    named = (as_dict(as_dict(one).get("valueFrom")) for one in as_list(container.get("env")))
    for holder in (*as_list(container.get("envFrom")), *named):
        for field, kind in REFERENCES.items():
            if field in as_dict(holder):
                yield kind, as_dict(holder[field])


def _some(words: list[str]) -> str:
    more = len(words) - MAX_NAMED
    return ", ".join(words[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
