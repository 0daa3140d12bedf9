"""Draws a run: every measured value by kind, and the stages; called by `__main__`.

Imports matplotlib only when it draws, since the tests' environment does not have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deploy.bench.table import label, parts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deploy.bench.result import Result, Series, Stages

# Okabe and Ito's palette, which all kinds of colour blindness can tell apart.
COLOURS = {
    "bare": "#7f7f7f",
    "cold": "#0072B2",
    "create": "#56B4E9",
    "warm": "#D55E00",
    "freeze": "#009E73",
}
STAGE_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7f7f7f")
PANELS = {
    "start": "Start: request to the command's first instruction",
    "stop": "Stop: request to the end as the API shows it",
}
WIDTH, ROW, STAGE_ROW = 10.0, 0.42, 0.95
INK, FAINT = "#222222", "#cccccc"


def draw(result: Result, paths: Sequence[Path]) -> None:
    """The same picture into each file; the file's ending says in which format."""
    import matplotlib as mpl  # noqa: PLC0415  only a run that draws has it
    from matplotlib.figure import Figure  # noqa: PLC0415

    # Without a salt of its own every drawing of one run would differ.
    mpl.rcParams.update({"svg.hashsalt": "bench", "font.size": 9, "text.color": INK})
    panels = [(what, series) for what, series in parts(result) if what in PANELS]
    heights = [ROW * len(series) + 0.75 for _, series in panels]
    heights += [STAGE_ROW] * len(result.stages)
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.6), layout="constrained")
    axes = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    versions = ", ".join(f"{name} {value}" for name, value in result.versions)
    figure.suptitle(f"Starts and stops beside a bare pod's ({versions})", fontsize=10)
    for (what, series), axis in zip(panels, axes, strict=False):
        _distributions(axis, what, series)
    for stages, axis in zip(result.stages, axes[len(panels) :], strict=True):
        _stages(axis, stages)
    for path in paths:
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, dpi=150, metadata=metadata, facecolor="white")


def _distributions(axis: Any, what: str, series: list[Series]) -> None:
    """A dot a value, in the order of measurement from top to bottom; median and p99 as lines."""
    for row, one in enumerate(series):
        values = [seconds * 1000 for seconds in one.seconds]
        spread = 0.5 / max(1, len(values) - 1)
        heights = [row - 0.25 + spread * number for number in range(len(values))]
        colour = COLOURS.get(one.mode, INK)
        axis.plot(values, heights, ".", color=colour, alpha=0.55, markersize=4, markeredgewidth=0)
        for share, width in ((0.5, 2.2), (0.99, 1.0)):
            at = one.percentile(share) * 1000
            axis.plot([at, at], [row - 0.36, row + 0.36], color=colour, linewidth=width)
        text = f"{_short(one.percentile(0.5))} ms, p99 {_short(one.percentile(0.99))} ms"
        axis.text(1.01, row, text, transform=axis.get_yaxis_transform(), va="center", fontsize=8)
    axis.set_yticks(range(len(series)), [f"{label(one)}\nn = {len(one.seconds)}" for one in series])
    axis.set_ylim(len(series) - 0.5, -0.5)
    axis.set_xscale("log")
    axis.set_xlim(*_limits([seconds * 1000 for one in series for seconds in one.seconds]))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(_between)
    axis.set_xlabel("ms (log); thick line: median, thin line: p99")
    axis.set_title(PANELS[what], loc="left", fontsize=9, fontweight="bold")
    axis.grid(axis="x", which="major", color=FAINT, linewidth=0.6)
    axis.tick_params(axis="y", length=0, labelsize=8)
    axis.spines[["top", "right", "left"]].set_visible(False)


def _stages(axis: Any, stages: Stages) -> None:
    """One bar on a scale of its own: a warm start would be a hair beside a cold one."""
    total = sum(mean for _, mean in stages.means)
    left = 0.0
    for number, (name, mean) in enumerate(stages.means):
        width = mean / 1000
        # Round two of the palette is hatched: no two stages of a bar look the same.
        turn, index = divmod(number, len(STAGE_COLOURS))
        colour = STAGE_COLOURS[index]
        axis.barh(
            0,
            width,
            left=left,
            color=colour,
            edgecolor="white",
            hatch="////" * turn,
            label=f"{name} {width:.1f}",
        )
        left += width
    axis.set_xlim(0, max(left, 1e-6))
    axis.set_ylim(-0.45, 0.45)
    axis.set_yticks([])
    axis.spines[["top", "right", "left"]].set_visible(False)
    title = (
        f"Stages of a {stages.mode} {stages.what}: {total / 1000:.1f} ms (mean of {stages.count})"
    )
    axis.set_title(title, loc="left", fontsize=9, fontweight="bold")
    axis.legend(
        loc="upper left",
        bbox_to_anchor=(0, -0.25),
        ncols=6,
        fontsize=7,
        frameon=False,
        handlelength=0.8,
    )


def _limits(values: list[float]) -> tuple[float, float]:
    """The next 1, 2 or 5 on both sides, so that even a narrow range has two numbers."""
    steps = [digit * 10.0**power for power in range(-4, 8) for digit in (1, 2, 5)]
    below = [step for step in steps if step < min(values)]
    above = [step for step in steps if step > max(values)]
    return max(below, default=steps[0]), min(above, default=steps[-1])


def _between(value: float, _: int) -> str:
    """Between the powers of ten, only as many numbers as there is room for."""
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.3g}" if seconds < 1 else f"{seconds * 1000:.0f}"
