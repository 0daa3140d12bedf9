"""Facts in, status out: phase, conditions and message of both kinds; pure.

`report` compares the result with what the objects say and writes the difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from controller import conditions
from controller.consumer import GATE_CLOSED, finished_record
from controller.manifests import pod_name
from controller.model import Condition, Process, Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.model import Body, Observed, Parent

# What ends in phase Error; everything else that is not right is on its way, so Pending.
ERRORS = frozenset(
    {
        "InvalidSpec",
        "NameTaken",
        "AdmissionDenied",
        "ImagePullFailed",
        "RuntimeUnsupported",
        "LayersMissing",
        "MountFailed",
        "RootLost",
        "StartFailed",
        "CrashLoopBackOff",
        "Failed",
        "RuntimeClassUnsupported",
    }
)
# What was measured once stays until the next one of its kind.
KEPT = ("lastStart", "lastStop")
IN_ORDER = ("Accepted", "NodeAssigned", "ImagePinned", "RootReady", "ConsumerReady")


class Verdict(NamedTuple):
    """The phase and what the condition Ready says."""

    phase: str
    ready: bool
    reason: str
    message: str


def status(seen: Observed, parent: Parent, now: str) -> Body:
    """The whole status, transition times kept where nothing changed."""
    found = conditions.conditions(seen, parent)
    verdict = judge(seen, parent, found)
    ready = Condition("Ready", ok=verdict.ready, reason=verdict.reason, message=verdict.message)
    root, template = seen.root, parent.template
    old = parent.status
    consumer = seen.consumer
    ours = consumer is not None and not consumer.foreign
    finished = finished_record(seen, parent)
    return {
        "phase": verdict.phase,
        "instanceName": parent.name,
        "node": seen.home,
        "nodeName": seen.home,
        "providerPodName": pod_name(parent.name, Role.PROVIDER),
        "consumerPodName": pod_name(parent.name, Role.CONSUMER) if ours else "",
        "hostPath": root.host_path if root else str(old.get("hostPath") or ""),
        "image": root.image if root else (template.image if template else ""),
        "imageDigest": root.image_digest if root else str(old.get("imageDigest") or ""),
        "message": verdict.message,
        "observedGeneration": parent.generation,
        **({"finished": finished} if finished else {}),
        **{name: old[name] for name in KEPT if old.get(name)},
        "conditions": [
            _dated(condition, old, parent.generation, now) for condition in (ready, *found.values())
        ],
    }


def judge(seen: Observed, parent: Parent, found: Mapping[str, Condition]) -> Verdict:
    """The phase: only what is proven now, or was proven and is not contradicted."""
    unmet = [found[name] for name in IN_ORDER if not found[name].ok]
    # An error is the cause, whatever else is not there yet.
    first = next((one for one in unmet if one.reason in ERRORS), unmet[0] if unmet else None)
    consumer = found["ConsumerReady"]
    if parent.deleting:
        return Verdict("Pending", False, "Stopping", first.message if first else "being deleted")
    if proven_running(seen, parent):
        if consumer.ok:
            return Verdict("Running", True, "Running", "")
        worst = found["NodeAssigned"] if not found["NodeAssigned"].ok else consumer
        return Verdict("Running", False, worst.reason, worst.message)
    if consumer.reason == "Stopped":
        return _stopped(found)
    if first is None:
        return Verdict("Pending", False, "Starting", "")
    phase = "Error" if first.reason in ERRORS else "Pending"
    if phase == "Pending" and consumer.reason == "Stopping":
        return Verdict(phase, False, "Stopping", first.message)
    return Verdict(phase, False, first.reason, first.message)


def _stopped(found: Mapping[str, Condition]) -> Verdict:
    wrong = [found[name] for name in IN_ORDER[:-1] if found[name].reason in ERRORS]
    if wrong:
        return Verdict("Error", False, wrong[0].reason, wrong[0].message)
    return Verdict("Stopped", False, "Stopped", "")


def proven_running(seen: Observed, parent: Parent) -> bool:
    """The container runs and the agent names its pod as the holder of the mounted root."""
    pod, root = seen.consumer, seen.root
    if pod is None or not pod.ours or pod.deleting or not pod.container.running:
        return False
    if not parent.running:
        return False
    if root is not None and root.mounted and root.held:
        # A supervised container runs its gate; the command is what the agent says.
        runs = root.process is Process.RUNNING or not pod.supervised
        return runs and root.holder == pod.uid
    # The agent is away and has not spoken since this controller began: what it once said stands.
    return root is None and not seen.agent.connected and parent.status.get("phase") == "Running"


def is_passing(wanted: Mapping[str, Any]) -> bool:
    """A state between two: worth writing only when it lasts."""
    if wanted["conditions"][0]["reason"] == GATE_CLOSED:
        return True
    return bool(wanted["phase"] == "Pending" and "finished" not in wanted)


def differs(wanted: Mapping[str, Any], present: Mapping[str, Any]) -> bool:
    """Whether a write would change anything but times."""
    return _without_times(wanted) != _without_times(present)


def _without_times(full: Mapping[str, Any]) -> Body:
    plain = dict(full)
    plain["conditions"] = sorted(
        (
            {name: value for name, value in item.items() if name != "lastTransitionTime"}
            for item in full.get("conditions") or []
        ),
        key=lambda item: str(item.get("type")),
    )
    return plain


def _dated(condition: Condition, old: Mapping[str, Any], generation: int, now: str) -> Body:
    was: Mapping[str, Any] = next(
        (item for item in old.get("conditions") or [] if item.get("type") == condition.type), {}
    )
    value = "Unknown" if condition.ok is None else str(condition.ok)
    since = was.get("lastTransitionTime") if was.get("status") == value else None
    return {
        "type": condition.type,
        "status": value,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": since or now,
        "observedGeneration": generation,
    }
