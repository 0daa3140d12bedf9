"""A run's JSON: what is written is read again, and what is not a run is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.bench.result import (
    LARGEST,
    Figure,
    NotAResult,
    Result,
    Series,
    Stages,
    from_text,
    to_text,
)

RUN = Result(
    versions=(("Kubernetes", "1.36.3"),),
    series=(
        Series("bare", "no volume", "start", (0.23, 0.25)),
        Series("cold", "no volume", "start", (0.24, 0.26)),
    ),
    figures=(Figure("API writes of a cycle", 8.0, ""),),
    stages=(Stages("cold", "start", 2, (("scheduled", 20000.0),)),),
    notes=("warm: not supported here",),
)


def test_a_run_is_read_as_it_was_written() -> None:
    assert from_text(to_text(RUN)) == RUN


def test_a_series_is_compared_with_the_bare_pod_of_its_own_volumes() -> None:
    bare, cold = RUN.series
    other = Series("cold", "token volume", "start", (0.5,))

    assert RUN.bare(cold) == bare
    assert RUN.bare(bare) is None
    assert RUN.bare(other) is None


def test_percentiles_of_a_hundred_values_are_values() -> None:
    series = Series("warm", "token volume", "start", tuple(float(n) for n in range(100, 0, -1)))

    assert [series.percentile(share) for share in (0.5, 0.9, 0.99)] == [50, 90, 99]


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=50),
    st.floats(0.01, 1),
)
def test_a_percentile_has_its_share_at_or_below_it(values: list[float], share: float) -> None:
    found = Series("warm", "", "start", tuple(values)).percentile(share)

    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9


def changed(**changes: Any) -> str:
    return json.dumps(json.loads(to_text(RUN)) | changes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        "{}",
        changed(format=2),
        changed(series=None),
        changed(series=[{"mode": "cold", "volumes": "x", "what": "start", "seconds": []}]),
        changed(series=[{"mode": "cold", "volumes": "x", "what": "start", "seconds": ["1"]}]),
        changed(series=[{"mode": "cold", "volumes": "x", "what": "start", "seconds": [True]}]),
        changed(series=[{"mode": "cold", "volumes": "x", "what": "start", "seconds": [10**400]}]),
        changed(series=[{"mode": "cold", "volumes": "x", "what": "start"}]),
        changed(series=[json.loads(to_text(RUN))["series"][0]] * 2),
        changed(figures=[{"name": "x", "value": float("nan"), "unit": ""}]),
        changed(figures=[{"name": "two\nlines", "value": 1, "unit": ""}]),
        changed(stages=[{"mode": "cold", "what": "start", "count": 1, "means": [["x"]]}]),
        changed(notes=[1]),
        " " * (LARGEST + 1),
    ],
    ids=lambda text: text[-60:].strip() or "blank",
)
def test_what_is_no_run_is_refused(text: str) -> None:
    with pytest.raises(NotAResult):
        from_text(text)
