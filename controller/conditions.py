"""One function a condition: facts in, its word with a stable reason and what to do; pure.

The word is True or False, or Unknown where we may not look. `status` makes phase and message from
these.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from controller.choices import StopMode, UpdatePolicy
from controller.consumer import consumer_ready
from controller.environment import MAX_SOURCES, what_changed, what_is_denied
from controller.images import image_changed, lost_data, wants_reset
from controller.inplace import REFUSED, is_at_rest, refusal, why_not_kept
from controller.model import Condition, Process
from controller.pods import PULL_FAILURES
from controller.supervision import unsupported
from controller.template import digest

if TYPE_CHECKING:
    from controller.model import Observed, Parent, Pod

# Kubelet says the same failure in two turns; without its prefix the message does not change.
BACK_OFF = re.compile(r'^Back-off pulling image "[^"]*"(: ErrImagePull)?:? ?')
MAX_MESSAGE = 2000
STOPPED = "kubectl exec works, in the kept root; what it starts ends with the next stop"
FROZEN = "all processes are kept, and their memory stays in use; kubectl exec works once it runs"
CROWDED_OUT = (
    "others took the room that the stop gave back, so the command runs with small requests; the "
    "next stop ends the pod, and the next start is cold, on the same node"
)


def conditions(seen: Observed, parent: Parent) -> dict[str, Condition]:
    """All conditions but Ready, by type."""
    kept = _pod_kept(seen, parent)
    found = (
        _accepted(parent),
        _node_assigned(seen),
        _image_pinned(seen, parent),
        _provider_ready(seen),
        _root_ready(seen, parent),
        consumer_ready(seen, parent),
        _update_pending(seen, parent),
        *kept,
        *(_environment_current(seen, parent) if kept and kept[0].ok else ()),
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


def _image_pinned(seen: Observed, parent: Parent) -> Condition:
    # The root's image stays pinned; what a start still waits for is the image of the next root.
    if seen.root and seen.root.image_digest and not _waits_for_reset(seen, parent):
        return Condition("ImagePinned", True, "Pinned")
    if lost_data(seen):
        return Condition("ImagePinned", True, "Pinned")
    pod = seen.provider
    if pod and pod.ours and pod.container.waiting_reason in PULL_FAILURES:
        return Condition("ImagePinned", False, "ImagePullFailed", pull_failure(pod))
    if pod and pod.ours and pod.container.image_id:
        return Condition("ImagePinned", False, "Pulling", "the image is on the node")
    return Condition("ImagePinned", False, "Pulling", "")


def _waits_for_reset(seen: Observed, parent: Parent) -> bool:
    """A start is wanted, and there is no root yet that it may be on."""
    return wants_reset(seen, parent) and parent.running and seen.consumer is None


def _provider_ready(seen: Observed) -> Condition:
    pod = seen.provider
    if pod and pod.foreign:
        return Condition("ProviderReady", False, "NameTaken", f"pod {pod.name} is not ours")
    if pod and pod.container.running and not pod.deleting:
        return Condition("ProviderReady", True, "Running")
    return Condition("ProviderReady", False, "Starting")


def pull_failure(pod: Pod) -> str:
    """Kubelet's words, and what to do."""
    words = BACK_OFF.sub("", pod.container.waiting_message) or pod.container.waiting_reason
    return (
        f"image {pod.image}: {words} -- check the image name, the tag and "
        "the pull secrets in the template; it is tried again by itself"
    )


def _root_ready(seen: Observed, parent: Parent) -> Condition:
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
    if root and root.mounted and not _waits_for_reset(seen, parent):
        return Condition("RootReady", True, "Mounted")
    failed = seen.problems.get("EnsureRoot")
    if failed and failed.reason not in {"NotYet", "RootBusy", "Absent"}:
        return no("MountFailed", failed.message)
    return no("Preparing", failed.message if failed else "")


def _update_pending(seen: Observed, parent: Parent) -> Condition:
    def yes(reason: str, message: str) -> Condition:
        return Condition("UpdatePending", True, reason, message)

    root, template, pod = seen.root, parent.template, seen.consumer
    if root and template and image_changed(seen, parent):
        asked = f"the template asks for {template.image}{_asked_digest(seen, template.image)}"
        now = f"the root is on {root.image} ({root.image_digest}), {asked}"
        if wants_reset(seen, parent):
            return yes("ImageReset", f"{now}: the next start is on a new root with that image")
        keep = "the root and its data keep their image; spec.imageChangePolicy: Reset makes a new"
        return yes("ImageChanged", f"{now}: {keep} and empty one at the next start")
    if template and pod and pod.ours and not pod.deleting and pod.template_hash != digest(template):
        if parent.update_policy is UpdatePolicy.RESTART:
            return yes("Restarting", "the container is being restarted with the new template")
        return yes("TemplateChanged", "the change applies at the next start")
    return Condition("UpdatePending", False, "UpToDate")


def _pod_kept(seen: Observed, parent: Parent) -> tuple[Condition, ...]:
    """Whether a stop leaves the pod; only where the user asks for it."""
    if parent.stop_mode is StopMode.COLD or parent.template is None:
        return ()
    pod = seen.consumer if seen.consumer and seen.consumer.ours else None
    refused = unsupported(parent.template)
    if refused:
        return (Condition("PodKept", False, "Unsupported", f"{refused}; stops are cold"),)
    if pod is None:
        return (Condition("PodKept", False, "NoPod", "the next start makes the pod anew"),)
    why = why_not_kept(seen, parent, pod)
    if why == REFUSED:
        return (Condition("PodKept", False, why, f"{CROWDED_OUT}: {refusal(seen, parent, pod)}"),)
    if why:
        return (Condition("PodKept", False, why, "the next start makes the pod anew"),)
    if not is_at_rest(seen.root, pod):
        return (Condition("PodKept", True, "Supervised", "a stop keeps the pod"),)
    fixed = f"; {pod.fixed_requests}" if pod.fixed_requests else ""
    if seen.root and seen.root.process is Process.FROZEN:
        return (Condition("PodKept", True, "Frozen", FROZEN + fixed),)
    return (Condition("PodKept", True, "Stopped", STOPPED + fixed),)


def _environment_current(seen: Observed, parent: Parent) -> tuple[Condition, ...]:
    """Whether a cold start would find the same variables; where there are any to be found."""
    kind, pod, read = "EnvironmentCurrent", seen.consumer, seen.sources
    if pod is None or not pod.environment.sources:
        return ()
    if read is None or read.pod != pod.uid or not pod.environment.made:
        # They are read after the status is written; until then it goes on saying what it said.
        return _as_before(parent, kind)
    changed, denied = what_changed(read, pod.environment.made), what_is_denied(read)
    if changed:
        return (Condition(kind, False, "SourcesChanged", changed),)
    if denied:
        return (Condition(kind, None, "NotAllowed", denied),)
    many = len(pod.environment.sources) > MAX_SOURCES
    note = f"only the first {MAX_SOURCES} of its sources are looked at" if many else ""
    return (Condition(kind, True, "UpToDate", note),)


def _as_before(parent: Parent, kind: str) -> tuple[Condition, ...]:
    said = (one for one in parent.status.get("conditions") or [] if one.get("type") == kind)
    words = {"True": True, "False": False}
    return tuple(
        Condition(kind, words.get(one["status"]), one["reason"], one["message"]) for one in said
    )


def _asked_digest(seen: Observed, image: str) -> str:
    """The digest of an image that is not the root's, where it is known; and what hinders."""
    pod = seen.provider
    if pod is None or not pod.ours or pod.image != image:
        return ""
    if pod.container.waiting_reason in PULL_FAILURES:
        return f" (not on the node: {pull_failure(pod)})"
    return f" ({pod.container.image_id})" if pod.container.image_id else " (not on the node yet)"
