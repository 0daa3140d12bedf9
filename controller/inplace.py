"""Stop and start within a pod that stays (stopMode Warm and Freeze).

When that can be, and the steps for it; pure. `plan` takes the steps, `consumer` says the state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.choices import StopMode
from controller.errors import Denied
from controller.images import wants_reset
from controller.model import Process, Role
from controller.pods import FAILURES
from controller.requests import grown, is_whole, shrunk
from controller.steps import (
    DeletePod,
    ReadSources,
    ReplacePod,
    ResizePod,
    StartProcess,
    StopProcess,
    SyncRoot,
    TellPod,
)
from controller.supervision import unsupported
from controller.template import digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controller.model import Observed, Parent, Pod, Root
    from controller.steps import Step

AT_REST = frozenset({Process.STOPPED, Process.FROZEN})
# About six seconds of tries; then the kubelet ends the pod, which needs neither gate nor agent.
GIVE_UP = 5
REFUSED = "RequestsRefused"


def why_not_kept(seen: Observed, parent: Parent, pod: Pod) -> str:
    """Why the pod cannot stay when its command stops, as a CamelCase reason; empty when it can."""
    if parent.stop_mode is StopMode.COLD:
        return "StopModeCold"
    if not pod.supervised:
        refused = parent.template is not None and unsupported(parent.template)
        return "Unsupported" if refused else "NotSupervised"
    changed = _changed(seen, parent, pod)
    if changed:
        return changed
    root = seen.root
    lives = pod.phase == "Running" and pod.container.running and not pod.disrupted
    if not lives or pod.container.waiting_reason in FAILURES:
        return "ContainerNotRunning"
    if seen.agent.connected and (root is None or root.holder != pod.uid):
        return "NotOnRoot"
    if _given_up(seen, "StopProcess"):
        return "GateSilent"
    return REFUSED if refusal(seen, parent, pod) else ""


def refusal(seen: Observed, parent: Parent, pod: Pod) -> str:
    """Why the command that runs does not get its requests again, in the refuser's words."""
    root, template = seen.root, parent.template
    if template is None or root is None or root.process is not Process.RUNNING:
        return ""
    if grown(pod, template):
        denied = seen.problems.get(ResizePod.__name__)
        # Anything but a no is tried again soon.
        return denied.message if denied and denied.reason == Denied.reason else ""
    return pod.resize_pending if is_whole(pod, template) else ""


def stop_steps(seen: Observed, parent: Parent, pod: Pod) -> Iterator[Step]:
    """The command is to end, and the pod with it only when it must."""
    root, why = seen.root, why_not_kept(seen, parent, pod)
    if why:
        yield from thaw(seen, pod)
        yield DeletePod(Role.CONSUMER, pod.uid, "" if parent.stop_mode is StopMode.COLD else why)
        return
    process = root.process if root else Process.NONE
    if root is None or not seen.agent.connected or process not in {*AT_REST, Process.STOPPING}:
        freeze = parent.stop_mode is StopMode.FREEZE
        yield StopProcess(seen.home, root.uid if root else pod.root, pod.uid, freeze)
        return
    if pod.told_running != "False":
        yield TellPod(pod.uid, running=False)
    if process in AT_REST and not root.synced:
        yield SyncRoot(seen.home, root.uid)


def start_steps(seen: Observed, parent: Parent, pod: Pod) -> Iterator[Step]:
    """The pod is there and its command is to run."""
    root = seen.root
    if not pod.supervised or root is None or root.holder != pod.uid or not seen.agent.usable:
        return
    if root.process in AT_REST:
        why = _changed(seen, parent, pod)
        if why or _given_up(seen, "StartProcess"):
            yield ReplacePod(Role.CONSUMER, pod.uid, why or "GateSilent", now=False)
        else:
            frozen = root.process is Process.FROZEN
            yield StartProcess(seen.home, root.uid, pod.uid, frozen)
    elif root.process is Process.RUNNING and pod.told_running != "True":
        yield TellPod(pod.uid, running=True, ready=pod.ready_but_for_us)


def read_steps(seen: Observed, parent: Parent) -> Iterator[Step]:
    """Once when the pod is made, and after each stop and start; nothing of it is watched."""
    pod, read = seen.consumer, seen.sources
    if parent.stop_mode is StopMode.COLD or pod is None or not pod.ours or pod.deleting:
        return
    # Of a pod that is not supervised they are not known.
    if not pod.environment.sources:
        return
    if read is None or (read.pod, read.turn) != (pod.uid, pod.environment.turn):
        yield ReadSources(pod.uid)


def resize_steps(seen: Observed, parent: Parent) -> Iterator[Step]:
    """The requests of a pod that stays: given back after a while, asked for again when it runs.

    Both only after people have been told, for kubelet takes its time. Asked for is what the
    template says now: the command must not stay small because the template changed since.
    """
    pod, root, template = seen.consumer, seen.root, parent.template
    if pod is None or not pod.ours or pod.deleting or not pod.supervised or not pod.requests:
        return
    if template is None or root is None or root.holder != pod.uid:
        return
    wanted: tuple[tuple[str, str], ...] = ()
    if parent.running:
        runs = root.process is Process.RUNNING and pod.told_running == "True"
        if runs and parent.status.get("phase") == "Running":
            wanted = grown(pod, template)
    elif seen.rested and root.synced and not why_not_kept(seen, parent, pod):
        wanted = shrunk(pod, template, frozen=root.process is Process.FROZEN)
    if wanted:
        yield ResizePod(pod.uid, wanted)


def thaw(seen: Observed, pod: Pod) -> Iterator[Step]:
    """A frozen process cannot hear that it is to end."""
    root = seen.root
    if not seen.agent.usable or _given_up(seen, "StartProcess"):
        return
    if root and root.holder == pod.uid and root.process is Process.FROZEN:
        yield StartProcess(seen.home, root.uid, pod.uid, thaw=True)


def is_at_rest(root: Root | None, pod: Pod) -> bool:
    """Nothing of the user's runs in the pod, and the pod says so."""
    known = root is not None and root.holder == pod.uid and root.process in AT_REST
    return known and pod.told_running == "False"


def _changed(seen: Observed, parent: Parent, pod: Pod) -> str:
    if parent.template is None or pod.template_hash != digest(parent.template):
        return "TemplateChanged"
    return "ImageChanged" if wants_reset(seen, parent) else ""


def _given_up(seen: Observed, step: str) -> bool:
    problem = seen.problems.get(step)
    return problem is not None and problem.tries >= GIVE_UP
