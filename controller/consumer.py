"""ConsumerReady: how the pod is that the user's command runs in, and what to do about it; pure.

`conditions` asks for it; what people read first when something does not start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.inplace import is_at_rest, why_not_kept
from controller.manifests import pod_name
from controller.model import Condition, Process, Role
from controller.plan import already_finished
from controller.pods import CRASH_LOOP, FAILURES
from controller.verdicts import failed_at_guard, is_finished, runtime_class_refused

if TYPE_CHECKING:
    from controller.model import Body, Observed, Parent, Pod

SYNCING = "what the container wrote is being written to disk"
# Of a supervised container whose gate runs, and the command does not.
WAITS = {
    Process.NONE: "the container's gate has not reached the node agent",
    Process.CONNECTING: "the container's gate has not reached the node agent",
    Process.STOPPED: "the command is being started in its pod",
    Process.STARTING: "the postStart hook runs",
    Process.STOPPING: "an earlier stop of the command has not ended",
    Process.FROZEN: "the command is being thawed",
}
GATE_CLOSED = "ReadinessGateClosed"
AGAIN = "set running to false, then to true, to run it again"
NOT_TOUCHED = "belongs to something else and is not touched: delete or rename it"
LEGACY = (
    "was made by another implementation of this API, and what was written in it lies in it alone: "
    "save that (docs/migrating.md), then delete the pod"
)
RUNTIME_CLASS = (
    "the pod's runtimeClassName names a runtime that does not build containers on a root of the "
    "node (Kata, gVisor): leave it out, or name a runtime class of runc or crun"
)


def consumer_ready(seen: Observed, parent: Parent) -> Condition:
    """The condition, without its times."""

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
        return no(*_before(seen, parent))
    if pod.deleting or pod.left:
        return no("Stopping", "an earlier pod of this name is still terminating")
    return Condition("ConsumerReady", *_running(seen, pod))


def finished_record(seen: Observed, parent: Parent) -> Body | None:
    """What is kept of a command that ended for good, until it is asked to run again."""
    pod, known = seen.consumer, parent.status.get("finished") or {}
    if pod and pod.deleting:
        # A command that ended because its pod is deleted has not finished by itself.
        return dict(known) if known.get("podUID") == pod.uid else None
    if pod and pod.ours and parent.running and is_finished(pod):
        reason, message = _finished(pod)
        return {
            "podUID": pod.uid,
            "reason": reason,
            "message": message,
            "templateHash": pod.template_hash,
        }
    return dict(known) if already_finished(seen, parent) else None


def _before(seen: Observed, parent: Parent) -> tuple[str, str]:
    """There is no pod, and there should be one."""
    if already_finished(seen, parent):
        finished = parent.status["finished"]
        return str(finished.get("reason")), str(finished.get("message"))
    held = next((root for root in seen.roots if root.held), None)
    if held:
        who = held.holder or "unknown"
        return "RootBusy", f"processes of an earlier pod (uid {who}) still hold the root"
    return "Starting", ""


def _taken(seen: Observed, parent: Parent) -> str:
    """Which of the names is somebody else's."""
    if parent.deleting:
        return ""
    if seen.instance and not seen.instance.ours:
        return f"StoppableContainerInstance {parent.name} {NOT_TOUCHED}"
    if seen.provider and seen.provider.foreign and not seen.provider.deleting:
        return _whose(pod_name(parent.name, Role.PROVIDER), seen.provider)
    wanted = parent.running or (seen.consumer is not None and seen.consumer.legacy)
    if seen.consumer and seen.consumer.foreign and wanted and not seen.consumer.deleting:
        return _whose(parent.name, seen.consumer)
    for problem in seen.problems.values():
        if problem.reason == "NameTaken":
            return problem.message
    return ""


def _whose(name: str, pod: Pod) -> str:
    return f"pod {name} {LEGACY if pod.legacy else NOT_TOUCHED}"


def _stopping(seen: Observed, parent: Parent) -> tuple[str, str]:
    """Stopped is a promise: no pod, a free root, and every byte on disk."""
    pod, root = seen.consumer, seen.root
    if pod and not pod.foreign:
        if pod.deleting or parent.deleting or why_not_kept(seen, parent, pod):
            return "Stopping", "the pod is terminating" if pod.deleting else ""
        if not is_at_rest(seen.root, pod):
            return "Stopping", "the command is being stopped, its pod stays"
        return ("Stopped", "") if root and root.synced else ("Stopping", SYNCING)
    if any(one.held for one in seen.roots):
        return "Stopping", "processes of the pod still hold the root"
    if root is None or not root.mounted:
        # While the agent is away its last word stands, but it is never made up.
        was = parent.status.get("phase") == "Stopped" and not seen.agent.connected
        return ("Stopped", "") if was else ("Starting", "the root is being prepared")
    if root.synced:
        return "Stopped", ""
    return "Stopping", SYNCING


def _running(seen: Observed, pod: Pod) -> tuple[bool, str, str]:
    state = pod.container
    if pod.foreign:
        return False, "Starting", f"an earlier pod {pod.name} is still terminating"
    if runtime_class_refused(pod):
        return False, "RuntimeClassUnsupported", RUNTIME_CLASS
    if failed_at_guard(pod):
        words = state.waiting_message or state.ended_message or state.last_message
        return False, "Starting", f"waiting for the node agent, then started again: {words}"
    if is_finished(pod):
        return False, *_finished(pod)
    if pod.phase in {"Failed", "Succeeded"}:
        return False, "Starting", f"the pod ended ({pod.reason or pod.phase}) and is made anew"
    if state.waiting_reason == CRASH_LOOP:
        return False, CRASH_LOOP, state.last_message or state.waiting_message
    if state.exit_code and state.last_message:
        # Between its end and kubelet's back-off; it has crashed before.
        return False, CRASH_LOOP, state.ended_words
    if state.waiting_reason in FAILURES:
        words = state.waiting_message or state.waiting_reason
        return False, "StartFailed", f"{state.waiting_reason}: {words}"
    if pod.trouble and not state.running:
        return False, "StartFailed", pod.trouble
    if pod.gated:
        return False, "SchedulingGated", "a scheduling gate holds the pod until its owner opens it"
    if pod.unschedulable:
        return False, "Unschedulable", f"the pod does not fit node {seen.home}: {pod.unschedulable}"
    if state.running and seen.root and seen.root.held and seen.root.holder != pod.uid:
        return False, "RootBusy", f"pod uid {seen.root.holder or 'unknown'} holds the root"
    if not state.running:
        return False, "Starting", _restarting(pod)
    if pod.supervised and seen.root and seen.root.process in WAITS:
        return False, "Starting", WAITS[seen.root.process]
    if pod.ready:
        return True, "Ready", ""
    if pod.supervised and pod.containers_ready:
        return False, GATE_CLOSED, "the command runs, and kubelet has still to say so"
    return False, "NotReady", pod.trouble or "the container runs and is not ready yet"


def _restarting(pod: Pod) -> str:
    code = pod.container.exit_code
    return "" if code is None else f"the command ended with exit code {code} and is started again"


def _finished(pod: Pod) -> tuple[str, str]:
    """The last word of a command that is not run again by itself."""
    state = pod.container
    if pod.phase != "Failed" and state.exit_code == 0:
        return "Completed", f"the command ended with exit code 0: {AGAIN}"
    code = "" if state.exit_code is None else f"exit code {state.exit_code}"
    parts = (state.ended_message, code, state.ended_reason, pod.trouble, pod.message, pod.reason)
    return "Failed", f"{', '.join(part for part in parts if part)}: {AGAIN}"
