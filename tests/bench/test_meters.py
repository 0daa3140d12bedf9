"""Numbers out of the product's /metrics and of kubelet's summary."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.bench.meters import Usage, cpu_share, pod_usage, process, writes

CONTROLLER = """\
# HELP stoppablecontainer_controller_api_writes_total API writes
# TYPE stoppablecontainer_controller_api_writes_total counter
stoppablecontainer_controller_api_writes_total{kind="Lease",verb="replace"} 605.0
stoppablecontainer_controller_api_writes_total{kind="Node",verb="patch status"} 1230.0
stoppablecontainer_controller_api_writes_total{kind="Pod",verb="create"} 201.0
stoppablecontainer_controller_api_writes_total{kind="Pod",verb="delete"} 198.0
"""
PROCESS = """\
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 7.86
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 5.7e+07
"""


def summary(**pod: Any) -> dict[str, Any]:
    """One other pod, and ours."""
    other = {"podRef": {"namespace": "default", "name": "mine"}}
    return {"pods": [other, {"podRef": {"namespace": "bench", "name": "mine"}, **pod}]}


def test_writes_that_go_by_the_clock_do_not_count() -> None:
    assert writes(CONTROLLER) == {"Pod create": 201, "Pod delete": 198}


def test_a_program_tells_its_own_cpu_and_memory() -> None:
    assert process(PROCESS, at=5) == Usage(5, 7.86, 5.7e7)


def test_a_program_without_such_metrics_is_not_guessed_at() -> None:
    assert process(CONTROLLER, at=5) is None


def test_kubelet_tells_a_pods_usage_and_when_it_looked() -> None:
    cpu = {"time": "1970-01-01T00:01:00Z", "usageCoreNanoSeconds": 2_000_000_000}
    found = summary(cpu=cpu, memory={"workingSetBytes": 4096, "rssBytes": 1024})

    assert pod_usage(found, "bench", "mine") == Usage(60, 2, 1024)


@pytest.mark.parametrize("pod", [{}, {"cpu": {}, "memory": {"workingSetBytes": 1}}])
def test_a_pod_that_kubelet_has_not_looked_at_is_not_guessed_at(pod: dict[str, Any]) -> None:
    assert pod_usage(summary(**pod), "bench", "mine") is None


def test_a_share_is_of_the_time_between_the_looks() -> None:
    assert cpu_share(Usage(10, 1.0, 0), Usage(40, 1.3, 0)) == pytest.approx(0.01)


def test_one_look_twice_is_no_share() -> None:
    assert cpu_share(Usage(10, 1.0, 0), Usage(10, 1.0, 0)) == 0
