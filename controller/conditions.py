"""One function a condition: facts in, True or False with a stable reason and what to do; pure.

`status` makes phase and message from these.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from controller.manifests import pod_name
from controller.model import Role
from controller.plan import failed_at_guard, lost_data
from controller.template import digest

if TYPE_CHECKING:
    from controller.model import Observed, Parent, Pod

PULL_FAILURES = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
START_FAILURES = frozenset(
    {"CreateContainerError", "CreateContainerConfigError", "RunContainerError", "StartError"}
)
# Kubelet says the same failure in two turns; without its prefix the message does not change.
BACK_OFF = re.compile(r'^Back-off pulling image "[^"]*"(: ErrImagePull)?:? ?')
MAX_MESSAGE = 2000


class Condition(NamedTuple):
    """A condition without its times."""

    type: str
    ok: bool
    reason: str
    message: str = ""


def conditions(seen: Observed, parent: Parent) -> dict[str, Condition]:
    """All conditions but Ready, by type."""
    found = (
        _accepted(parent),
        _node_assigned(seen),
        _image_pinned(seen),
        _root_ready(seen),
        _consumer_ready(seen, parent),
        _update_pending(seen, parent),
    )
    return {one.type: one._replace(message=one.message[:MAX_MESSAGE]) for one in found}


def _accepted(parent: Parent) -> Condition:
    if parent.invalid:
        return Condition("Accepted", False, "InvalidSpec", parent.invalid)
    return Condition("Accepted", True, "Accepted")


def _node_assigned(seen: Observed) -> Condition:
    def no(reason: str, message: str) -> Condition:
        return Condition("NodeAssigned", False, reason, message)

    if seen.home:
        if not seen.home_exists:
            return no(
                "NodeLost",
                f"node {seen.home} no longer exists and the data was on it: bring the node back, "
                "or delete and create the StoppableContainer to begin with an empty root",
            )
        if not seen.home_ready and not seen.agent.connected:
            return no("NodeLost", f"node {seen.home} is not reachable: {seen.home_message}")
        return Condition("NodeAssigned", True, "Assigned")
    waiting = seen.provider.unschedulable if seen.provider and seen.provider.ours else ""
    if seen.no_ready_node:
        return no("NoReadyNode", f"no node agent is ready: {seen.no_ready_node}")
    if waiting:
        return no("Unschedulable", f"no node fits the provider pod: {waiting}")
    return no("WaitingForScheduler", "")


def _image_pinned(seen: Observed) -> Condition:
    if seen.root and seen.root.image_digest:
        return Condition("ImagePinned", True, "Pinned")
    if lost_data(seen):
        return Condition("ImagePinned", True, "Pinned")
    pod = seen.provider
    if pod and pod.ours and pod.container.waiting_reason in PULL_FAILURES:
        return Condition("ImagePinned", False, "ImagePullFailed", pull_failure(pod))
    if pod and pod.ours and pod.container.image_id:
        return Condition("ImagePinned", False, "Pulling", "the image is on the node")
    return Condition("ImagePinned", False, "Pulling", "")


def pull_failure(pod: Pod) -> str:
    """Kubelet's words, and what to do."""
    words = BACK_OFF.sub("", pod.container.waiting_message) or pod.container.waiting_reason
    return (
        f"image {pod.image}: {words} -- check the image name, the tag and "
        "the pull secrets in the template; it is tried again by itself"
    )


def _root_ready(seen: Observed) -> Condition:
    def no(reason: str, message: str = "") -> Condition:
        return Condition("RootReady", False, reason, message)

    agent, root = seen.agent, seen.root
    if not seen.home:
        return no("Preparing")
    if not agent.connected:
        return no("AgentUnavailable", f"waiting for the node agent on {seen.home}")
    if not agent.status.ready:
        known = "RuntimeUnsupported"
        reason = known if agent.status.reason == known else "AgentUnavailable"
        why = f"{agent.status.reason}: {agent.status.message}"
        return no(reason, f"the node agent on {seen.home} is not ready: {why}")
    if lost_data(seen):
        return no(
            "RootLost",
            f"node {seen.home} no longer has the root and its data: bring its disk back, or delete "
            "and create the StoppableContainer to begin with an empty root",
        )
    if root and root.problem_reason:
        reason = "LayersMissing" if root.problem_reason == "LayersMissing" else "MountFailed"
        return no(reason, f"{root.problem_reason}: {root.problem_message}")
    if root and root.mounted:
        return Condition("RootReady", True, "Mounted")
    failed = seen.problems.get("EnsureRoot")
    if failed and failed.reason not in {"NotYet", "RootBusy", "Absent"}:
        return no("MountFailed", failed.message)
    return no("Preparing", failed.message if failed else "")


def _consumer_ready(seen: Observed, parent: Parent) -> Condition:
    def no(reason: str, message: str = "") -> Condition:
        return Condition("ConsumerReady", False, reason, message)

    pod = seen.consumer
    taken = _taken(seen, parent)
    if taken:
        return no("NameTaken", taken)
    for role in Role:
        denied = seen.problems.get(f"CreatePod/{role}")
        if denied and denied.reason == "AdmissionDenied":
            return no("AdmissionDenied", f"{role} pod: {denied.message}")
    if not parent.running or parent.deleting:
        return no(*_stopping(seen, parent))
    if pod is None:
        if seen.root and seen.root.held:
            who = seen.root.holder or "unknown"
            return no("RootBusy", f"processes of an earlier pod (uid {who}) still hold the root")
        return no("Starting")
    if pod.deleting or pod.left:
        return no("Stopping", "an earlier pod of this name is still terminating")
    return Condition("ConsumerReady", *_running(seen, pod))


def _taken(seen: Observed, parent: Parent) -> str:
    """Which of the names is somebody else's."""
    rest = "belongs to something else and is not touched: delete or rename it"
    if seen.instance and not seen.instance.ours and not parent.deleting:
        return f"StoppableContainerInstance {parent.name} {rest}"
    if seen.provider and seen.provider.foreign and not parent.deleting:
        return f"pod {pod_name(parent.name, Role.PROVIDER)} {rest}"
    if seen.consumer and seen.consumer.foreign and parent.running and not parent.deleting:
        return f"pod {parent.name} {rest}"
    for problem in seen.problems.values():
        if problem.reason == "NameTaken":
            return problem.message
    return ""


def _stopping(seen: Observed, parent: Parent) -> tuple[str, str]:
    """Stopped is a promise: no pod, a free root, and every byte on disk."""
    pod, root = seen.consumer, seen.root
    if pod and not pod.foreign:
        return "Stopping", "the pod is terminating" if pod.deleting else ""
    if root and root.held:
        return "Stopping", "processes of the pod still hold the root"
    if root is None or not root.mounted:
        # While the agent is away its last word stands, but it is never made up.
        was = parent.status.get("phase") == "Stopped" and not seen.agent.connected
        return ("Stopped", "") if was else ("Starting", "the root is being prepared")
    if root.synced:
        return "Stopped", ""
    return "Stopping", "what the container wrote is being written to disk"


def _running(seen: Observed, pod: Pod) -> tuple[bool, str, str]:
    state = pod.container
    if failed_at_guard(pod):
        words = state.waiting_message or state.ended_message or state.last_message
        return False, "Starting", f"waiting for the node agent, then started again: {words}"
    if pod.phase == "Succeeded" or (pod.phase == "Failed" and state.exit_code == 0):
        again = "set running to false, then to true, to run it again"
        return False, "Completed", f"the command ended with exit code 0: {again}"
    if pod.phase == "Failed":
        code = "" if state.exit_code is None else f"exit code {state.exit_code}"
        parts = (state.ended_message, code, state.ended_reason, pod.message, pod.reason)
        return False, "StartFailed", ", ".join(part for part in parts if part)
    if state.waiting_reason == "CrashLoopBackOff":
        return False, "CrashLoopBackOff", state.last_message or state.waiting_message
    if state.waiting_reason in START_FAILURES or state.waiting_reason in PULL_FAILURES:
        words = state.waiting_message or state.waiting_reason
        return False, "StartFailed", f"{state.waiting_reason}: {words}"
    if pod.unschedulable:
        return False, "Unschedulable", f"the pod does not fit its node: {pod.unschedulable}"
    if state.running and seen.root and seen.root.held and seen.root.holder != pod.uid:
        return False, "RootBusy", f"pod uid {seen.root.holder or 'unknown'} holds the root"
    if not state.running:
        return False, "Starting", ""
    if pod.ready:
        return True, "Ready", ""
    return False, "NotReady", "the container runs and is not ready yet"


def _update_pending(seen: Observed, parent: Parent) -> Condition:
    root, template, pod = seen.root, parent.template, seen.consumer
    if template and root and root.image and root.image != template.image:
        return Condition(
            "UpdatePending",
            True,
            "ImageChanged",
            f"the root was made from {root.image} and keeps it; {template.image} needs a new "
            "StoppableContainer",
        )
    if template and pod and pod.ours and not pod.deleting and pod.template_hash != digest(template):
        return Condition(
            "UpdatePending", True, "TemplateChanged", "the change applies at the next start"
        )
    return Condition("UpdatePending", False, "UpToDate")
