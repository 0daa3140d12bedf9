"""What the bench makes: the same pod bare and in a template, and the times of its lines."""

from __future__ import annotations

import pytest

from deploy.bench.cluster import numbers, stamp
from deploy.bench.objects import OBEDIENT, is_ready, pinned, pod, pod_spec, stoppable


def test_the_bare_pod_and_the_template_are_the_same() -> None:
    spec = pinned(pod_spec(OBEDIENT, token=True), "node1")

    assert pod("bare", spec)["spec"] == stoppable("cold", spec)["spec"]["template"]["spec"]


def test_only_other_stop_modes_are_named() -> None:
    spec = pod_spec(OBEDIENT, token=True)

    assert "stopMode" not in stoppable("one", spec)["spec"]
    assert stoppable("one", spec, mode="Warm")["spec"]["stopMode"] == "Warm"


def test_a_pod_that_is_ending_is_not_ready() -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}

    assert is_ready({"metadata": {}, "status": ready})
    assert not is_ready({"metadata": {"deletionTimestamp": "now"}, "status": ready})
    assert not is_ready({"metadata": {}, "status": {}})


def test_the_runtimes_stamps_keep_their_microseconds() -> None:
    assert stamp("1970-01-01T00:00:01.250001999Z") == pytest.approx(1.250001, abs=1e-6)
    assert stamp("1970-01-01T01:00:01+01:00") == 1


@pytest.mark.parametrize(
    ("version", "kept"),
    [("v1.36.3", "1.36.3"), ("2.3.7+unknown", "2.3.7"), ("6.18.4-my-host", "6.18.4"), ("dev", "")],
)
def test_versions_keep_their_numbers_alone(version: str, kept: str) -> None:
    assert numbers(version) == kept
