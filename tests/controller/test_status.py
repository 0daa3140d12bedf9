"""The status as a table: what is observed, what people read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.model import (
    Agent,
    AgentStatus,
    ContainerState,
    Observed,
    Parent,
    Pod,
    Problem,
    Root,
)
from controller.status import differs, status
from controller.template import digest, normalise

SPEC = {"running": True, "template": {"container": {"image": "busybox:1"}}}
TEMPLATE = normalise(SPEC)
READY = Agent("n1", connected=True, status=AgentStatus(True, "Ready", ""))
AWAY = Agent("n1", connected=False, status=AgentStatus(True, "Ready", ""))
ROOT = Root("u1", image="busybox:1", image_digest="sha256:1", mounted=True, synced=True)
HELD = replace(ROOT, held=True, holder="p1", synced=False)
UP = ContainerState(running=True, image_id="sha256:1", ever_started=True)


def parent(*, running: bool = True, **more: Any) -> Parent:
    plain = Parent("ns", "app", "u1", 1, False, True, running, SPEC, {}, TEMPLATE)
    return replace(plain, **more)


def pod(**more: Any) -> Pod:
    plain = Pod(
        "app", "p1", True, False, False, "n1", "Running", "", "", True, False, "", "Always",
        "busybox:1", digest(TEMPLATE), UP,
    )  # fmt: skip
    return replace(plain, **more)


def waiting(reason: str, message: str = "", **more: Any) -> ContainerState:
    return ContainerState(waiting_reason=reason, waiting_message=message, **more)


BASE = Observed(
    parent=parent(), home="n1", home_exists=True, home_ready=True, agent=READY, root=ROOT,
)  # fmt: skip
OFF = parent(running=False)
WAS_RUNNING = parent(status={"phase": "Running"})
WAS_STOPPED = parent(running=False, status={"phase": "Stopped"})
PULLS = pod(container=waiting("ImagePullBackOff", 'Back-off pulling image "x": ErrImagePull: no'))
BROKEN = replace(ROOT, mounted=False, problem_reason="LayersMissing", problem_message="gone")
NOT_SUPPORTED = Agent("n1", True, AgentStatus(False, "RuntimeUnsupported", "crio"))
ENDED = ContainerState(ended_reason="Completed", exit_code=0, ever_started=True)
COMPLETED = ("Pending", "Completed")
KATA = waiting("CreateContainerError", "RuntimeClassUnsupported: io.containerd.kata.v2 does not")
GUARD = waiting("RunContainerError", 'exec: "/.stoppablecontainer/required"')

TABLE: list[tuple[str, dict[str, Any], str, str]] = [
    ("runs", {"consumer": pod(), "root": HELD}, "Running", "Running"),
    ("runs, not ready", {"consumer": pod(ready=False), "root": HELD}, "Running", "NotReady"),
    ("runs, no holder named", {"consumer": pod()}, "Pending", "Starting"),
    ("another holds", {"consumer": pod(uid="p2"), "root": HELD}, "Pending", "RootBusy"),
    ("agent away", {"consumer": pod(), "root": HELD, "agent": AWAY}, "Running", "Running"),
    (
        "agent never heard, was running",
        {"parent": WAS_RUNNING, "consumer": pod(), "root": None, "agent": AWAY},
        "Running",
        "Running",
    ),
    ("no pod yet", {}, "Pending", "Starting"),
    ("old processes", {"root": HELD}, "Pending", "RootBusy"),
    ("old pod", {"consumer": pod(deleting=True), "root": HELD}, "Pending", "Stopping"),
    ("guard", {"consumer": pod(container=GUARD)}, "Pending", "Starting"),
    (
        "crash loop",
        {"consumer": pod(container=waiting("CrashLoopBackOff"))},
        "Error",
        "CrashLoopBackOff",
    ),
    (
        "bad config",
        {"consumer": pod(container=waiting("CreateContainerConfigError"))},
        "Error",
        "StartFailed",
    ),
    ("foreign", {"consumer": pod(ours=False)}, "Error", "NameTaken"),
    ("foreign, ends", {"consumer": pod(ours=False, deleting=True)}, "Pending", "Stopping"),
    ("made by another", {"consumer": pod(ours=False, legacy=True)}, "Error", "NameTaken"),
    ("runtime class", {"consumer": pod(container=KATA)}, "Error", "RuntimeClassUnsupported"),
    (
        "gated",
        {"consumer": pod(container=ContainerState(), gated=True)},
        "Pending",
        "SchedulingGated",
    ),
    (
        "init container",
        {"consumer": pod(container=waiting("PodInitializing"), trouble="init container a: no")},
        "Error",
        "StartFailed",
    ),
    ("ended well", {"consumer": pod(container=ENDED, restart_policy="Never")}, *COMPLETED),
    (
        "ended well on failure",
        {"consumer": pod(container=ENDED, restart_policy="OnFailure")},
        *COMPLETED,
    ),
    ("ended, and starts again", {"consumer": pod(container=ENDED)}, "Pending", "Starting"),
    (
        "ended badly beside a sidecar",
        {"consumer": pod(container=replace(ENDED, exit_code=3), restart_policy="Never")},
        "Error",
        "Failed",
    ),
    (
        "its time was over",
        {"consumer": pod(container=ENDED, phase="Failed", reason="DeadlineExceeded")},
        "Error",
        "Failed",
    ),
    (
        "evicted",
        {"consumer": pod(container=ENDED, phase="Failed", reason="Evicted", disrupted=True)},
        "Pending",
        "Starting",
    ),
    (
        "does not fit",
        {"consumer": pod(container=ContainerState(), unschedulable="cpu")},
        "Pending",
        "Unschedulable",
    ),
    ("stopped", {"parent": OFF}, "Stopped", "Stopped"),
    ("stopped, agent away", {"parent": WAS_STOPPED, "agent": AWAY}, "Stopped", "Stopped"),
    (
        "stopped, agent never heard",
        {"parent": WAS_STOPPED, "agent": AWAY, "root": None},
        "Stopped",
        "Stopped",
    ),
    (
        "stopping",
        {"parent": OFF, "consumer": pod(deleting=True), "root": HELD},
        "Pending",
        "Stopping",
    ),
    ("stopping, held", {"parent": OFF, "root": HELD}, "Pending", "Stopping"),
    (
        "stopping, unsynced",
        {"parent": OFF, "root": replace(ROOT, synced=False)},
        "Pending",
        "Stopping",
    ),
    ("stopped, foreign pod", {"parent": OFF, "consumer": pod(ours=False)}, "Stopped", "Stopped"),
    (
        "no node",
        {"home": "", "root": None, "no_ready_node": "node1: NRIUnavailable: off"},
        "Pending",
        "NoReadyNode",
    ),
    (
        "no fit",
        {"home": "", "root": None, "provider": pod(unschedulable="0/2")},
        "Pending",
        "Unschedulable",
    ),
    ("scheduler", {"home": "", "root": None}, "Pending", "WaitingForScheduler"),
    ("node gone", {"home_exists": False, "agent": AWAY, "root": None}, "Pending", "NodeLost"),
    ("pull", {"root": None, "provider": PULLS}, "Error", "ImagePullFailed"),
    ("layers", {"root": BROKEN}, "Error", "LayersMissing"),
    ("runtime", {"agent": NOT_SUPPORTED, "root": None}, "Error", "RuntimeUnsupported"),
    ("lost", {"root": None, "had_root": True}, "Error", "RootLost"),
    ("agent away at start", {"agent": AWAY}, "Pending", "AgentUnavailable"),
    (
        "refused",
        {"problems": {"CreatePod/consumer": Problem("AdmissionDenied", "quota", 1, 0)}},
        "Error",
        "AdmissionDenied",
    ),
    ("invalid", {"parent": parent(template=None, invalid="no")}, "Error", "InvalidSpec"),
    ("deleting", {"parent": parent(deleting=True)}, "Pending", "Stopping"),
]


@pytest.mark.parametrize(
    ("facts", "phase", "reason"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_phase_and_reason(facts: dict[str, Any], phase: str, reason: str) -> None:
    seen = replace(BASE, **facts)
    seen = replace(seen, roots=(seen.root,) if seen.root else ())
    assert seen.parent is not None

    found = status(seen, seen.parent, "T1")

    assert (found["phase"], found["conditions"][0]["reason"]) == (phase, reason)
    assert (found["conditions"][0]["status"] == "True") == (reason == "Running")


def test_the_time_of_a_condition_moves_only_with_its_status() -> None:
    seen = replace(BASE, consumer=pod(), root=HELD)
    assert seen.parent is not None
    first = status(seen, seen.parent, "T1")

    again = status(seen, replace(seen.parent, status=first), "T2")

    assert not differs(again, first)
    assert {one["lastTransitionTime"] for one in again["conditions"]} == {"T1"}
    less = status(
        replace(seen, consumer=pod(ready=False)), replace(seen.parent, status=first), "T2"
    )
    moved = {one["type"] for one in less["conditions"] if one["lastTransitionTime"] == "T2"}
    assert moved == {"Ready", "ConsumerReady"}


def test_kubelets_two_ways_to_say_a_failed_pull_are_one_message() -> None:
    other = pod(container=waiting("ErrImagePull", "no"))
    seen = replace(BASE, root=None, provider=PULLS)
    assert seen.parent is not None

    one, two = (status(replace(seen, provider=each), seen.parent, "T") for each in (PULLS, other))

    assert one == two
