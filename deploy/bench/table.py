"""The tables of one run and of two, as text; pure. Printed by `__main__`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.bench.result import Result, Series

# The order of the table, and from where to where each part is measured.
PARTS = {
    "start": "start: request sent until the command's first instruction",
    "phase": "start: request sent until phase Running is seen (bare pod: Ready)",
    "lag": "phase Running seen, after the pod's own Ready was seen",
    "stop": "stop: request sent until phase Stopped is seen (bare pod: gone)",
    "stop-sleep": "stop of `sleep infinity`, which does not obey SIGTERM as PID 1",
    "crowd-median": "many at once on one node: median of the first instructions",
    "crowd-last": "many at once on one node: the last first instruction",
}
MODES = ("bare", "cold", "create", "warm", "freeze")
LABELS = {
    "bare": "bare pod",
    "cold": "cold",
    "create": "first create",
    "warm": "warm",
    "freeze": "freeze",
}
NO_RATIO = f"{'-':>8}{'-':>8}"


def label(series: Series) -> str:
    """What it is, and with which volumes."""
    return f"{LABELS.get(series.mode, series.mode)}, {series.volumes}"


def ordered(series: Iterable[Series]) -> list[Series]:
    """By volumes, the bare pod first: what is compared stands side by side."""

    def place(one: Series) -> tuple[str, int, str]:
        known = MODES.index(one.mode) if one.mode in MODES else len(MODES)
        return (one.volumes, known, one.mode)

    return sorted(series, key=place)


def parts(result: Result) -> list[tuple[str, list[Series]]]:
    """The series by what they measure, in the order of the table."""
    names = [*PARTS, *(one.what for one in result.series if one.what not in PARTS)]
    grouped = [
        (what, ordered(one for one in result.series if one.what == what))
        for what in dict.fromkeys(names)
    ]
    return [(what, series) for what, series in grouped if series]


def milliseconds(seconds: float) -> str:
    """Three digits where they say something."""
    value = seconds * 1000
    return f"{value:8.1f}" if abs(value) < 100 else f"{value:8.0f}"


def ratio(ours: float, theirs: float) -> str:
    """How many times as long; nothing where the other is no duration."""
    return f"{ours / theirs:8.2f}" if theirs > 0 else f"{'-':>8}"


def table(result: Result) -> str:
    """Everything that one run has found."""
    versions = ", ".join(f"{name} {value}" for name, value in result.versions)
    lines = [f"Milliseconds; ratios are to the bare pod in the same run. {versions}"]
    for what, series in parts(result):
        lines += [
            "",
            PARTS.get(what, what),
            f"  {'':<32}{'n':>5}{'p50':>8}{'p90':>8}{'p99':>8}{'x p50':>8}{'x p99':>8}",
            *(_row(result, one) for one in series),
        ]
    for one in result.stages:
        total = sum(mean for _, mean in one.means) / 1000
        named = ", ".join(f"{name} {mean / 1000:.1f}" for name, mean in one.means)
        lines += [
            "",
            f"stages of a {one.mode} {one.what}, mean of {one.count}: {total:.1f} = {named}",
        ]
    if result.figures:
        lines.append("")
        lines += [
            f"  {one.name:<62}{one.value:10.2f} {one.unit}".rstrip() for one in result.figures
        ]
    lines += ["", *(f"note: {note}" for note in result.notes)] if result.notes else []
    return "\n".join(lines)


def _row(result: Result, series: Series) -> str:
    numbers = "".join(milliseconds(series.percentile(share)) for share in (0.5, 0.9, 0.99))
    bare = result.bare(series)
    # A lag is a difference, so a ratio of two says nothing.
    ratios = NO_RATIO
    if bare and series.what != "lag":
        ratios = "".join(
            ratio(series.percentile(share), bare.percentile(share)) for share in (0.5, 0.99)
        )
    return f"  {label(series):<32}{len(series.seconds):>5}{numbers}{ratios}"


def comparison(old: Result, new: Result) -> str:
    """What both runs have, side by side; what only one has, named."""
    known = {one.key: one for one in old.series}
    lines = ["Milliseconds: the earlier run, this run, change in %"]
    for what, series in parts(new):
        lines += [
            "",
            PARTS.get(what, what),
            f"  {'':<32}{'p50 old':>9}{'new':>8}{'change':>8}{'p99 old':>9}{'new':>8}{'change':>8}",
        ]
        for one in series:
            before = known.pop(one.key, None)
            found = _change(before, one) if before else "  only in this run"
            lines.append(f"  {label(one):<32}{found}")
    lines += [f"only in the earlier run: {one.what}, {label(one)}" for one in known.values()]
    figures = {one.name: one for one in old.figures}
    both = [(figures[one.name], one) for one in new.figures if one.name in figures]
    if both:
        lines.append("")
    for before_figure, figure in both:
        values = f"{before_figure.value:10.2f}{figure.value:10.2f}"
        lines.append(f"  {figure.name:<62}{values} {figure.unit}".rstrip())
    return "\n".join(lines)


def _change(old: Series, new: Series) -> str:
    cells = []
    for share in (0.5, 0.99):
        before, after = old.percentile(share), new.percentile(share)
        change = f"{(after / before - 1) * 100:+7.0f}%" if before > 0 else f"{'-':>8}"
        cells.append(f" {milliseconds(before)}{milliseconds(after)}{change}")
    return "".join(cells)
