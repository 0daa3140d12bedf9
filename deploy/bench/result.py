"""What one run has measured, and its JSON; pure. Made by `run`, shown by `table` and `picture`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

FORMAT = 1
# A file of a run has some 100 KB; what is far larger is not one.
LARGEST = 20_000_000


class NotAResult(ValueError):
    """The text is not the JSON of a run."""


@dataclass(frozen=True, slots=True)
class Series:
    """The seconds of one kind of act, in the order in which they were measured."""

    mode: str
    volumes: str
    what: str
    seconds: tuple[float, ...]

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes series of two runs the same."""
        return (self.what, self.mode, self.volumes)

    def percentile(self, share: float) -> float:
        """The nearest rank: a value that was measured, never one between two."""
        ordered = sorted(self.seconds)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that has no distribution: writes, memory, idle CPU."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Stages:
    """The mean of each stage of a kind of start or stop; they add up to the mean of the whole."""

    mode: str
    what: str
    count: int
    means: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Result:
    """One run."""

    versions: tuple[tuple[str, str], ...]
    series: tuple[Series, ...]
    figures: tuple[Figure, ...] = ()
    stages: tuple[Stages, ...] = ()
    notes: tuple[str, ...] = ()

    def bare(self, series: Series) -> Series | None:
        """The bare pod's series to compare this one with; only itself has none."""
        key = (series.what, "bare", series.volumes)
        return next((one for one in self.series if one.key == key and one is not series), None)


def to_text(result: Result) -> str:
    """The JSON of a run: numbers and versions, no name of a host, no path."""
    content = asdict(result) | {"format": FORMAT, "versions": dict(result.versions)}
    return json.dumps(content, indent=1)


def from_text(text: str) -> Result:
    """Refuse what this program has not written, with the place that is wrong."""
    if len(text) > LARGEST:
        raise NotAResult(f"larger than {LARGEST} characters")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotAResult(f"not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise NotAResult(f"not of format {FORMAT}")
    try:
        return _result(content)
    except KeyError as error:
        raise NotAResult(f"lacks {error}") from error


def _result(content: dict[str, Any]) -> Result:
    versions = _typed(content["versions"], dict, "versions")
    series = tuple(_series(one) for one in _typed(content["series"], list, "series"))
    if len({one.key for one in series}) != len(series):
        raise NotAResult("two series of one kind")
    return Result(
        tuple((_text(name), _text(value)) for name, value in versions.items()),
        series,
        tuple(
            Figure(_text(one["name"]), _number(one["value"]), _text(one["unit"]))
            for one in _objects(content["figures"], "figures")
        ),
        tuple(_stages(one) for one in _objects(content["stages"], "stages")),
        tuple(_text(note) for note in _typed(content["notes"], list, "notes")),
    )


def _series(content: Any) -> Series:
    one = _typed(content, dict, "a series")
    seconds = tuple(_number(value) for value in _typed(one["seconds"], list, "seconds"))
    if not seconds:
        raise NotAResult("an empty series")
    return Series(_text(one["mode"]), _text(one["volumes"]), _text(one["what"]), seconds)


def _stages(one: dict[str, Any]) -> Stages:
    means = []
    for pair in _typed(one["means"], list, "means"):
        if len(_typed(pair, list, "a stage")) != 2:
            raise NotAResult("a stage is a name and a number")
        means.append((_text(pair[0]), _number(pair[1])))
    return Stages(_text(one["mode"]), _text(one["what"]), int(_number(one["count"])), tuple(means))


def _objects(content: Any, what: str) -> list[dict[str, Any]]:
    return [_typed(one, dict, what) for one in _typed(content, list, what)]


def _typed(value: Any, kind: type[Any], what: str) -> Any:
    if not isinstance(value, kind):
        raise NotAResult(f"{what}: {kind.__name__} expected")
    return value


def _text(value: Any) -> str:
    text: str = _typed(value, str, "a name")
    if not text.isprintable() or len(text) > 300:
        raise NotAResult("a name is one line of at most 300 characters")
    return text


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotAResult("a number expected")
    try:
        number = float(value)
    except OverflowError as error:
        raise NotAResult("a number is too large") from error
    if not math.isfinite(number):
        raise NotAResult("a number is not finite")
    return number
