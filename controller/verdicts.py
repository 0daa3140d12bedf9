"""What the state of a pod means: refused at its start, finished, or to be run again; pure.

`plan` acts on it, `conditions` says it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller import names
from controller.pods import START_FAILURES

if TYPE_CHECKING:
    from controller.model import Pod

# Kubelet's words for a container that never came to run, in which the agent's refusals arrive.
REFUSED = START_FAILURES - {"CreateContainerConfigError", "PostStartHookError"}


def is_finished(pod: Pod) -> bool:
    """The command ended and, by the restart policy, is not run again."""
    if pod.phase in {"Failed", "Succeeded"}:
        return not must_run_again(pod)
    state = pod.container
    if state.exit_code is None or state.running or state.waiting_reason:
        return False
    if failed_at_guard(pod):
        return False
    return pod.restart_policy == "Never" or (
        pod.restart_policy == "OnFailure" and state.exit_code == 0
    )


def failed_at_guard(pod: Pod) -> bool:
    """The container never ran its command, because the agent did not, or would not.

    Put it on its root.
    """
    state = pod.container
    if state.running or runtime_class_refused(pod):
        return False
    texts = (state.waiting_message, state.ended_message, state.last_message)
    if any(names.GUARD in text for text in texts):
        return True
    if state.waiting_reason not in REFUSED and state.ended_reason not in REFUSED:
        return False
    return any("stoppablecontainer" in text or "in use" in text for text in texts)


def runtime_class_refused(pod: Pod) -> bool:
    """The agent says that the pod's runtime cannot build a container on a persistent root."""
    state = pod.container
    texts = (state.waiting_message, state.ended_message)
    return any(names.RUNTIME_CLASS_UNSUPPORTED in text for text in texts)


def must_run_again(pod: Pod) -> bool:
    """A pod that ended for a reason that the user's command has nothing to do with."""
    if pod.phase not in {"Failed", "Succeeded"} or pod.reason == "DeadlineExceeded":
        return False
    if failed_at_guard(pod) or not pod.container.ever_started:
        # An init container that failed for good is the user's own.
        return pod.phase == "Failed" and not pod.trouble
    if pod.restart_policy == "Always":
        return True
    return pod.restart_policy == "OnFailure" and pod.disrupted
