"""Reads numbers out of /metrics and of kubelet's summary; pure. Used by `usage`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

WRITES = "stoppablecontainer_controller_api_writes_total"
# Renewed by the clock, whether anything starts or not.
BY_THE_CLOCK = {"Lease", "Node"}


@dataclass(frozen=True, slots=True)
class Usage:
    """What one container has used until `at`, and the memory it has."""

    at: float
    cpu_seconds: float
    rss_bytes: float


def cpu_share(before: Usage, after: Usage) -> float:
    """The part of one core between the two."""
    passed = after.at - before.at
    return (after.cpu_seconds - before.cpu_seconds) / passed if passed > 0 else 0.0


def samples(text: str) -> dict[str, float]:
    """Name with labels -> value; labels in the order of their names."""
    found = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(one.labels.items()))
            found[f"{one.name}{{{labels}}}"] = one.value
    return found


def process(text: str, at: float) -> Usage | None:
    """A program's own account of itself, where its registry has one."""
    found = samples(text)
    cpu, rss = (
        found.get(f"process_{name}{{}}") for name in ("cpu_seconds_total", "resident_memory_bytes")
    )
    return None if cpu is None or rss is None else Usage(at, cpu, rss)


def writes(text: str) -> dict[str, float]:
    """The controller's API writes by kind and verb, without those that go by the clock."""
    found = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            if one.name == WRITES and one.labels["kind"] not in BY_THE_CLOCK:
                found[f"{one.labels['kind']} {one.labels['verb']}"] = one.value
    return found


def pod_usage(summary: dict[str, Any], namespace: str, name: str) -> Usage | None:
    """A pod of kubelet's /stats/summary; it looks every 10 s or so, and says when it did."""
    for one in summary.get("pods", ()):
        reference = one["podRef"]
        if (reference["namespace"], reference["name"]) != (namespace, name):
            continue
        cpu, memory = one.get("cpu", {}), one.get("memory", {})
        if "usageCoreNanoSeconds" not in cpu or "workingSetBytes" not in memory:
            return None
        at = datetime.fromisoformat(cpu["time"]).timestamp()
        rss = memory.get("rssBytes", memory["workingSetBytes"])
        return Usage(at, cpu["usageCoreNanoSeconds"] / 1e9, rss)
    return None
