"""What a pod at rest asks for, and what its running command does: pure, from specs alone."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.model import Instance, Parent, Pod, Template
from controller.pods import read_pod
from controller.requests import grown, is_whole, quantity, same, shrunk

PARENT = Parent("ns", "app", "u1", 1, False, True, True, {}, {}, None)
INSTANCE = Instance("u2", ours=True, deleting=False, spec={}, status={}, generation=1)
BOTH = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}
REST = {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "128Mi"}}


def template(resources: dict[str, Any]) -> Template:
    return Template({"containers": [{"image": "i", "resources": resources}]}, {}, {}, True)


def pod(
    resources: dict[str, Any], qos: str = "Burstable", /, conditions: Any = (), **spec: Any
) -> Pod:
    container = {"name": "c", "resources": resources, "resizePolicy": spec.pop("policy", None)}
    return read_pod(
        {
            "metadata": {"name": "app", "uid": "p1", "generation": 3},
            "spec": {"containers": [container], **spec},
            "status": {"qosClass": qos, "conditions": list(conditions)},
        },
        PARENT,
        INSTANCE,
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1000m"), ("0.1", "100m"), (".5", "500m"), ("1Gi", "1024Mi"), ("1e3", "1k"),
        ("1E", "1000P"), ("1E3", "1000"), ("128974848", "123Mi"), ("1500000u", "1.5"),
    ],
)  # fmt: skip
def test_equal_amounts_are_the_same_however_written(one: str, other: str) -> None:
    assert same(one, other)
    assert not same(one, "7")


@pytest.mark.parametrize(
    "text",
    ["", ".", "+", "-1", "1 ", "1K", "1e", "1e999", "9" * 21, "0x1", "1ki", "\u0661", "None"],
)
def test_what_is_no_quantity_equals_nothing_else(text: str) -> None:
    assert quantity(text) is None
    assert not same(text, "1")


@given(st.integers(0, 10**18), st.sampled_from(["", "m", "k", "Ki", "Gi"]))
def test_whole_numbers_stay_exact(number: int, unit: str) -> None:
    times = {"": "1", "m": "1/1000", "k": "1000", "Ki": "1024", "Gi": "1073741824"}[unit]
    assert quantity(f"{number}{unit}") == number * Fraction(times)


@given(st.text(max_size=40))
def test_no_text_is_too_odd(text: str) -> None:
    quantity(text)


def test_a_stopped_command_gives_both_back_and_a_frozen_one_keeps_its_memory() -> None:
    full = pod(BOTH)

    assert shrunk(full, template(BOTH), frozen=False) == (("cpu", "1m"), ("memory", "1Mi"))
    assert shrunk(full, template(BOTH), frozen=True) == (("cpu", "1m"),)
    assert grown(full, template(BOTH)) == ()
    assert is_whole(full, template(BOTH))


def test_what_is_small_grows_to_what_the_template_says() -> None:
    at_rest = pod(REST)

    assert grown(at_rest, template(BOTH)) == (("cpu", "100m"), ("memory", "64Mi"))
    assert shrunk(at_rest, template(BOTH), frozen=False) == ()
    assert not is_whole(at_rest, template(BOTH))


def test_a_limit_alone_is_the_request() -> None:
    wanted = {"limits": {"cpu": 2, "memory": "1Gi"}, "requests": {"memory": "64Mi"}}
    made = {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "2", "memory": "64Mi"}}

    assert shrunk(pod(made), template(wanted), frozen=True) == (("cpu", "1m"),)
    assert grown(pod(REST), template(wanted)) == (("cpu", "2"), ("memory", "64Mi"))


@pytest.mark.parametrize("frozen", [False, True])
def test_requests_that_somebody_else_set_are_left_alone(frozen: bool) -> None:
    other = pod({"requests": {"cpu": "70m", "memory": "70Mi"}})

    assert shrunk(other, template(BOTH), frozen=frozen) == ()
    assert grown(other, template(BOTH)) == ()
    assert not is_whole(other, template(BOTH))
    # No word of the template's about them: a LimitRange's default.
    assert shrunk(pod(BOTH), template({}), frozen=frozen) == ()
    assert grown(pod(REST), template({})) == ()


@pytest.mark.parametrize("small", ["1m", "0.5m", "0", "nonsense", "-5"])
def test_what_is_not_more_than_small_never_changes(small: str) -> None:
    resources = {"requests": {"cpu": small}}

    assert shrunk(pod(resources), template(resources), frozen=False) == ()
    assert grown(pod(REST), template(resources)) == ()


@pytest.mark.parametrize(
    ("qos", "spec", "says"),
    [
        ("Guaranteed", {}, "Guaranteed"),
        ("BestEffort", {}, ""),
        ("", {}, ""),
        ("Burstable", {"resources": {"requests": {"cpu": "1"}}}, "whole pod"),
    ],
)
def test_some_pods_keep_what_they_ask_for(qos: str, spec: dict[str, Any], says: str) -> None:
    kept = pod(BOTH, qos, **spec)

    assert shrunk(kept, template(BOTH), frozen=False) == ()
    assert grown(pod(REST, qos, **spec), template(BOTH)) == ()
    assert not is_whole(kept, template(BOTH))
    assert says in kept.fixed_requests
    assert bool(kept.fixed_requests) == bool(says)


def test_a_resource_whose_change_restarts_the_container_is_left_alone() -> None:
    policy = [
        {"resourceName": "cpu", "restartPolicy": "NotRequired"},
        {"resourceName": "memory", "restartPolicy": "RestartContainer"},
    ]
    kept = pod(BOTH, policy=policy)

    assert shrunk(kept, template(BOTH), frozen=False) == (("cpu", "1m"),)
    assert grown(pod(REST, policy=policy), template(BOTH)) == (("cpu", "100m"),)
    assert "memory" in kept.fixed_requests
    assert "cpu" not in kept.fixed_requests


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "Deferred: no cpu left"),
        ({"reason": "Infeasible"}, "Infeasible: no cpu left"),
        ({"message": None}, "Deferred: no reason given"),
        ({"observedGeneration": 3}, "Deferred: no cpu left"),
        ({"observedGeneration": 2}, ""),
        ({"status": "False"}, ""),
        ({"reason": "Else"}, ""),
        ({"type": "PodResizeInProgress"}, ""),
    ],
)
def test_kubelet_refuses_in_its_own_words_and_about_the_last_change(
    changed: dict[str, Any], said: str
) -> None:
    condition = {"type": "PodResizePending", "status": "True", "reason": "Deferred"}
    condition |= {"message": "no cpu left"} | changed

    assert pod(BOTH, conditions=[condition]).resize_pending == said
