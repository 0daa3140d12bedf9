"""The tables: ratios to the bare pod of the same run, and two runs side by side."""

from __future__ import annotations

from deploy.bench.result import Figure, Result, Series, Stages
from deploy.bench.table import comparison, table


def run(*series: Series, figures: tuple[Figure, ...] = (), notes: tuple[str, ...] = ()) -> Result:
    stages = (Stages("warm", "start", 300, (("patch seen", 3000.0), ("command running", 2500.0))),)
    return Result((("Kubernetes", "1.36.3"),), series, figures, stages, notes)


def row(text: str, label: str) -> list[str]:
    """The cells of the first row with this label."""
    line = next(line for line in text.splitlines() if line.strip().startswith(label))
    return line.strip().removeprefix(label).split()


BARE = Series("bare", "token volume", "start", (0.5, 0.5, 0.6))
COLD = Series("cold", "token volume", "start", (0.55, 0.55, 0.9))
WARM = Series("warm", "token volume", "start", (0.0071, 0.0069, 0.0102))


def test_a_row_has_its_percentiles_and_its_ratios() -> None:
    text = table(run(BARE, COLD, WARM))

    assert row(text, "cold, token volume") == ["3", "550", "900", "900", "1.10", "1.50"]
    assert row(text, "warm, token volume") == ["3", "7.1", "10.2", "10.2", "0.01", "0.02"]
    assert row(text, "bare pod, token volume") == ["3", "500", "600", "600", "-", "-"]


def test_without_a_bare_pod_there_is_no_ratio() -> None:
    assert row(table(run(WARM)), "warm, token volume")[-2:] == ["-", "-"]


def test_a_difference_has_no_ratio() -> None:
    lag = (
        Series("bare", "token volume", "lag", (0.001,)),
        Series("cold", "token volume", "lag", (-0.002,)),
    )

    assert row(table(run(*lag)), "cold, token volume") == ["1", "-2.0", "-2.0", "-2.0", "-", "-"]


def test_the_bare_pod_stands_first_whatever_was_measured_first() -> None:
    text = table(run(WARM, COLD, BARE))

    assert text.index("bare pod, token") < text.index("cold, token") < text.index("warm, token")


def test_stages_figures_and_notes_are_told() -> None:
    figure = Figure("API writes of a cycle", 8.0, "")
    text = table(run(BARE, figures=(figure,), notes=("freeze: not supported here",)))

    assert "warm start, mean of 300: 5.5 = patch seen 3.0, command running 2.5" in text
    assert row(text, "API writes of a cycle") == ["8.00"]
    assert text.endswith("note: freeze: not supported here")


def test_two_runs_stand_side_by_side() -> None:
    faster = Series("cold", "token volume", "start", (0.44, 0.44, 0.45))
    text = comparison(run(BARE, COLD), run(BARE, faster))

    cells = ["550", "440", "-20%", "900", "450", "-50%"]
    assert row(text, "cold, token volume") == cells


def test_what_only_one_run_has_is_named() -> None:
    text = comparison(run(BARE, COLD), run(BARE, WARM))

    assert row(text, "warm, token volume") == ["only", "in", "this", "run"]
    assert "only in the earlier run: start, cold, token volume" in text


def test_figures_of_both_runs_are_compared_by_name() -> None:
    before, after = (Figure("API writes of a cycle", value, "") for value in (8.0, 7.0))
    text = comparison(run(BARE, figures=(before,)), run(BARE, figures=(after,)))

    assert row(text, "API writes of a cycle") == ["8.00", "7.00"]
