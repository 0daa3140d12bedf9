"""Adds up the stages that status tells of each start and stop; pure. Fed by `cycles`."""

from __future__ import annotations

from typing import Any

from deploy.bench.result import Stages

FIELDS = {"start": "lastStart", "stop": "lastStop"}


class StageSums:
    """The sum of each stage by mode; each start and stop counts once, however often it is seen."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._counts: dict[tuple[str, str], int] = {}
        self._sums: dict[tuple[str, str], dict[str, float]] = {}

    def add(self, uid: str, status: dict[str, Any]) -> None:
        """Take what this status says; one without stages says nothing."""
        for what, field in FIELDS.items():
            last = status.get(field)
            if not last or not last.get("stages"):
                continue
            # Its time has whole seconds only, so all of it makes one start differ from another.
            name = f"{uid} {what} {last}"
            if name in self._seen:
                continue
            self._seen.add(name)
            key = (str(last["mode"]).lower(), what)
            self._counts[key] = self._counts.get(key, 0) + 1
            sums = self._sums.setdefault(key, {})
            for stage in last["stages"]:
                sums[stage["name"]] = sums.get(stage["name"], 0) + stage["microseconds"]

    def means(self) -> tuple[Stages, ...]:
        """Over all starts of a mode, so that the stages still add up to the mean total."""
        return tuple(
            Stages(
                mode,
                what,
                self._counts[mode, what],
                tuple((name, total / self._counts[mode, what]) for name, total in sums.items()),
            )
            for (mode, what), sums in self._sums.items()
        )
