"""The only prometheus_client: what is counted, and the text for /metrics.

Counted by `reconcile`, `kube` and `agents`; served by `web`.
"""

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PREFIX = "stoppablecontainer_controller_"

_steps = Counter(PREFIX + "steps", "Steps done", ["step"], registry=REGISTRY)
_failures = Counter(
    PREFIX + "step_failures", "Steps that failed", ["step", "reason"], registry=REGISTRY
)
_writes = Counter(PREFIX + "api_writes", "API writes", ["kind", "verb"], registry=REGISTRY)
_seconds = Histogram(
    PREFIX + "reconcile_seconds",
    "Time of one look at a key",
    registry=REGISTRY,
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
)
# From a warm start to one that pulls an image.
_WAITS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60)
_totals = {
    "start": Histogram(
        PREFIX + "start_seconds",
        "From the patch as the controller saw it to phase Running and Ready",
        ["mode"],
        registry=REGISTRY,
        buckets=_WAITS,
    ),
    "stop": Histogram(
        PREFIX + "stop_seconds",
        "From the patch as the controller saw it to phase Stopped",
        ["mode"],
        registry=REGISTRY,
        buckets=_WAITS,
    ),
}
_stages = Histogram(
    PREFIX + "stage_seconds",
    "From one stage of a start or stop to the next",
    ["transition", "mode", "stage"],
    registry=REGISTRY,
    buckets=_WAITS,
)
_missed = Counter(PREFIX + "missed_events", "Changes found by a LIST only", registry=REGISTRY)
_depth = Gauge(PREFIX + "queue_depth", "Keys waiting", registry=REGISTRY)
_leading = Gauge(PREFIX + "leading", "1 while this replica acts", registry=REGISTRY)
_agents = Gauge(PREFIX + "agents_connected", "Agents with a live stream", registry=REGISTRY)


def step_done(step: str) -> None:
    """A step succeeded."""
    _steps.labels(step).inc()


def step_failed(step: str, reason: str) -> None:
    """A step failed."""
    _failures.labels(step, reason).inc()


def api_write(kind: str, verb: str) -> None:
    """The API server was written to."""
    _writes.labels(kind, verb).inc()


def reconciled(seconds: float) -> None:
    """One look took this long."""
    _seconds.observe(seconds)


def passed(transition: str, mode: str, stages: Iterable[tuple[str, int]]) -> None:
    """A start or stop is over; its first stage is time zero, the durations are microseconds."""
    (_, total), *later = stages
    for stage, microseconds in later:
        _stages.labels(transition, mode, stage).observe(microseconds / 1e6)
        total += microseconds
    _totals[transition].labels(mode).observe(total / 1e6)


def missed(count: int) -> None:
    """A LIST knew what the watch had not told."""
    _missed.inc(count)


def levels(*, depth: int, leading: bool, agents: int) -> None:
    """What is so at this moment."""
    _depth.set(depth)
    _leading.set(leading)
    _agents.set(agents)


def text() -> bytes:
    """The exposition format."""
    return generate_latest(REGISTRY)
