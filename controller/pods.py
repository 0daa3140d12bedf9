"""A pod's JSON as facts: whose it is, how its first container is, what is in its way; pure.

`observe` calls it with what the store has; nothing else reads pods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controller import names, requests
from controller.environment import NOTHING, environment
from controller.model import SCI, ContainerState, Pod
from controller.roots import owner_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.model import Body, Instance, Parent

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
    {
        "CreateContainerError",
        "CreateContainerConfigError",
        "RunContainerError",
        "StartError",
        "PostStartHookError",
    }
)
CRASH_LOOP = "CrashLoopBackOff"
FAILURES = PULL_FAILURES | START_FAILURES | {CRASH_LOOP}


def read_pod(body: Body, parent: Parent, instance: Instance | None) -> Pod:
    """A pod of one of our two names; whose it is, is decided by its owner's uid."""
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    annotations = metadata.get("annotations") or {}
    owner = controller_of(metadata)
    of_instance = (
        owner.get("kind") == SCI.kind
        and owner.get("apiVersion") == names.API_VERSION
        and owner.get("name") == parent.name
    )
    root = str(annotations.get(names.ROOT_ANNOTATION) or "")
    of_parent = bool(root) and owner_of(root) == parent.uid
    owned = of_instance and instance is not None and instance.ours and owner["uid"] == instance.uid
    managed = (metadata.get("labels") or {}).get(names.MANAGED_BY_LABEL) == names.MANAGED_BY
    found = {item.get("type"): item for item in status.get("conditions") or []}
    scheduled = found.get("PodScheduled") or {}
    first, told = spec["containers"][0], found.get(names.RUNNING_CONDITION) or {}
    container, supervised = read_container(status, str(first.get("name"))), is_supervised(spec)
    return Pod(
        name=str(metadata["name"]),
        uid=str(metadata["uid"]),
        ours=owned and of_parent,
        left=of_instance and managed and of_parent and not owned,
        deleting="deletionTimestamp" in metadata,
        node=str(spec.get("nodeName") or ""),
        phase=str(status.get("phase") or "Pending"),
        reason=str(status.get("reason") or ""),
        message=str(status.get("message") or ""),
        ready=_is_true(found, "Ready"),
        disrupted=_is_true(found, "DisruptionTarget") or status.get("reason") == "Evicted",
        unschedulable=_unschedulable(scheduled),
        restart_policy=_restart_policy(spec, first, container.exit_code),
        image=str(first.get("image") or ""),
        template_hash=str(annotations.get(names.TEMPLATE_HASH_ANNOTATION) or ""),
        container=container,
        root=root if of_parent else "",
        gated=scheduled.get("reason") == "SchedulingGated",
        legacy=owned and not of_parent,
        trouble=_trouble(status, str(first.get("name"))),
        has_claims=any("persistentVolumeClaim" in one for one in spec.get("volumes") or []),
        supervised=supervised,
        containers_ready=_is_true(found, "ContainersReady"),
        ready_but_for_us=_ready_but_for_us(spec, found),
        told_running=str(told.get("status") or ""),
        environment=environment(spec, status, told) if supervised else NOTHING,
        requests=requests.changeable(spec, status),
        fixed_requests=requests.why_fixed(spec, status),
        resize_pending=requests.pending(metadata, found),
    )


def is_supervised(spec: Mapping[str, Any]) -> bool:
    """Made so that its command can be stopped while the pod stays: it has our readiness gate."""
    gates = spec.get("readinessGates") or []
    return any(gate.get("conditionType") == names.RUNNING_CONDITION for gate in gates)


def _is_true(conditions: Mapping[str, Any], name: str) -> bool:
    return (conditions.get(name) or {}).get("status") == "True"


def _ready_but_for_us(spec: Mapping[str, Any], conditions: Mapping[str, Any]) -> bool:
    """The rule of kubelet's own Ready (KEP-580), where nothing but our gate is in the way.

    A probe's last word may be from before a stop, so where there is one kubelet has to ask again.
    """
    gates = [str(gate.get("conditionType")) for gate in spec.get("readinessGates") or []]
    others = [gate for gate in gates if gate != names.RUNNING_CONDITION]
    return (
        _is_true(conditions, "ContainersReady")
        and all(_is_true(conditions, gate) for gate in others)
        and not any(one.get("readinessProbe") for one in spec["containers"])
    )


def read_container(status: Mapping[str, Any], name: str) -> ContainerState:
    """Kubelet's word about one container."""
    entries = status.get("containerStatuses") or []
    entry: Mapping[str, Any] = next((item for item in entries if item.get("name") == name), {})
    state, last = entry.get("state") or {}, entry.get("lastState") or {}
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
    before = last.get("terminated") or {}
    code = ended.get("exitCode")
    return ContainerState(
        running="running" in state,
        waiting_reason=str(waiting.get("reason") or ""),
        waiting_message=str(waiting.get("message") or ""),
        ended_reason=str(ended.get("reason") or ""),
        ended_message=str(ended.get("message") or ""),
        exit_code=int(code) if code is not None else None,
        ended_words=_last_words(ended),
        last_message=_last_words(before),
        image_id=str(entry.get("imageID") or ""),
        ever_started=bool("running" in state or ended or before),
    )


def controller_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The owner that controls an object, or an empty one."""
    owners = metadata.get("ownerReferences") or []
    return next((dict(owner) for owner in owners if owner.get("controller")), {})


def _last_words(ended: Mapping[str, Any]) -> str:
    """How the last run ended: its message, and why and with which code."""
    if not ended:
        return ""
    why = f"{ended.get('reason') or 'ended'}, exit code {ended.get('exitCode')}"
    message = str(ended.get("message") or "").strip()
    return f"{message} ({why})" if message else why


def _restart_policy(spec: Mapping[str, Any], first: Mapping[str, Any], code: int | None) -> str:
    """What kubelet goes by after this exit code (KEP-5307).

    The container's own rules go before its policy, and that before the pod's.
    """
    rules = first.get("restartPolicyRules") or []
    if code is not None and any(_matches(rule, code) for rule in rules):
        return "Always"
    return str(first.get("restartPolicy") or spec.get("restartPolicy") or "Always")


def _matches(rule: Mapping[str, Any], code: int) -> bool:
    """Every action is some kind of restart."""
    exits = rule.get("exitCodes") or {}
    listed = code in (exits.get("values") or [])
    return listed if exits.get("operator") == "In" else not listed


def _unschedulable(condition: Mapping[str, Any]) -> str:
    """The scheduler's words, when it found no place."""
    if condition.get("status") != "False" or condition.get("reason") != "Unschedulable":
        return ""
    return str(condition.get("message") or "")


def _trouble(status: Mapping[str, Any], first: str) -> str:
    """What keeps an init container or another container of the pod from running."""
    groups = (
        ("init container", status.get("initContainerStatuses") or []),
        ("container", status.get("containerStatuses") or []),
    )
    for what, entries in groups:
        for entry in entries:
            state, name = entry.get("state") or {}, entry.get("name")
            waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
            reason = waiting.get("reason")
            if what == "init container" and ended.get("exitCode") and status["phase"] == "Failed":
                return f"{what} {name}: {_last_words(ended)}"
            if reason not in FAILURES or (what == "container" and name == first):
                continue
            last = _last_words((entry.get("lastState") or {}).get("terminated") or {})
            words = last if reason == CRASH_LOOP and last else waiting.get("message") or ""
            return f"{what} {name}: {reason}: {words}"
    return ""
