"""Pure builders: what the instance, the provider pod and the consumer pod look like.

`apply` sends what these return; nothing here reads the cluster.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from controller import names, placement
from controller.choices import StopMode
from controller.model import POD, SC, SCI, Body, Key, Parent, Role
from controller.supervision import supervised, unsupported
from controller.template import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.model import Root, Template

# Affinity and spread are placement's.
PLACEMENT = (
    "nodeSelector",
    "tolerations",
    "priorityClassName",
    "schedulerName",
    "imagePullSecrets",
    "serviceAccountName",
)
PROVIDER_RESOURCES = {"requests": {"cpu": "1m", "memory": "8Mi"}}
NOBODY = 65532


def pod_name(name: str, role: Role) -> str:
    """The name of our pod of this role."""
    return name + names.PROVIDER_SUFFIX if role is Role.PROVIDER else name


def instance(parent: Parent, node: str, uid: str = "") -> Body:
    """The instance as applied; `uid` of the one to change, empty to make a new one."""
    metadata: Body = {
        "name": parent.name,
        "namespace": parent.namespace,
        "ownerReferences": [_owner(SC.kind, parent.name, parent.uid, block=True)],
    }
    if uid:
        metadata["uid"] = uid
    return {
        "apiVersion": SCI.api_version,
        "kind": SCI.kind,
        "metadata": metadata,
        "spec": instance_spec(parent, node),
    }


def instance_spec(parent: Parent, node: str) -> Body:
    """The parent's spec, plus the node once it is known."""
    spec = dict(copy.deepcopy(dict(parent.spec)))
    spec.pop("node", None)
    return spec | {"node": node} if node else spec


def finalizer(parent: Parent, *, present: bool) -> Body:
    """The part of the StoppableContainer that the controller owns."""
    return {
        "apiVersion": SC.api_version,
        "kind": SC.kind,
        "metadata": {
            "name": parent.name,
            "namespace": parent.namespace,
            # Without it an apply would create the object anew when the user has just deleted it.
            "uid": parent.uid,
            "finalizers": [names.FINALIZER] if present else [],
        },
    }


def provider(parent: Parent, template: Template, owner_uid: str, node: str, image: str) -> Body:
    """Holds the image on the node and marks where the root lives; no privilege, no volume."""
    wanted = template.pod
    extra: Mapping[str, Any] = parent.spec.get("provider") or {}
    spec: Body = {field: copy.deepcopy(wanted[field]) for field in PLACEMENT if wanted.get(field)}
    spec |= placement.provider_rules(parent.name, template, pinned=bool(node))
    spec |= {
        "containers": [_provider_container(template, extra, image)],
        "restartPolicy": "Always",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": NOBODY,
            "runAsGroup": NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "nodeSelector": dict(wanted.get("nodeSelector") or {})
        | dict(extra.get("nodeSelector") or {})
        | {names.AGENT_LABEL: names.AGENT_READY},
    }
    claims = [one for one in wanted.get("volumes") or [] if "persistentVolumeClaim" in one]
    if claims and not node:
        # Mounted by nobody: the scheduler alone reads them, and goes where the volumes are.
        spec["volumes"] = copy.deepcopy(claims)
    tolerations = [*(wanted.get("tolerations") or []), *(extra.get("tolerations") or [])]
    if tolerations:
        spec["tolerations"] = copy.deepcopy(tolerations)
    if pin := node or wanted.get("nodeName"):
        spec["affinity"] = pinned(spec.get("affinity"), pin)
    return _pod(parent, Role.PROVIDER, owner_uid, template, spec, root_id=parent.uid)


def _provider_container(template: Template, extra: Mapping[str, Any], image: str) -> Body:
    return {
        "name": names.PROVIDER_CONTAINER,
        "image": image or template.image,
        # A root is pinned to a digest, so pulling a newer image would change nothing.
        "imagePullPolicy": template.container.get("imagePullPolicy") or "IfNotPresent",
        "command": [names.GUARD],
        "args": ["hold"],
        "resources": copy.deepcopy(extra.get("resources")) or copy.deepcopy(PROVIDER_RESOURCES),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def consumer(parent: Parent, template: Template, owner_uid: str, node: str, root: Root) -> Body:
    """The user's own pod, pinned to the root's node, its first container behind the guard."""
    spec = copy.deepcopy(dict(template.pod))
    # Set by hand it would go past the scheduler, which still has to count the pod's resources.
    spec.pop("nodeName", None)
    apart = placement.consumer_affinity(parent.name, spec.get("affinity"))
    spec["affinity"] = pinned(apart, node)
    # The root decides where the pod is; a spread of another opinion could only keep it away.
    spec.pop("topologySpreadConstraints", None)
    container = spec["containers"][0]
    container["image"] = root.image or template.image
    container["command"] = [names.GUARD, *(container.get("command") or [])]
    if not container.get("args"):
        container.pop("args", None)
    # After one failed pull kubelet pulls again even with IfNotPresent's default for :latest, so it
    # is always said.
    if container.get("imagePullPolicy") != "Never":
        container["imagePullPolicy"] = "IfNotPresent"
    if parent.stop_mode is not StopMode.COLD and not unsupported(template):
        spec = supervised(spec)
    return _pod(parent, Role.CONSUMER, owner_uid, template, spec, root_id=root.uid)


def told(uid: str, *, running: bool, ready: bool, at: str) -> Body:
    """A patch of a supervised pod's status: what its readiness gate waits for, and what follows.

    Kubelet takes up to a second to see that Ready has changed by it. Its message is none that
    kubelet would write, so that kubelet looks again at once (NeedToReconcilePodReadiness).
    """
    word = "CommandRunning" if running else "CommandStopped"
    conditions = [_pod_condition(names.RUNNING_CONDITION, running, word, "", at)]
    if ready or not running:
        conditions.append(_pod_condition("Ready", ready, word, f"{names.MANAGED_BY} says so", at))
    return {"metadata": {"uid": uid}, "status": {"conditions": conditions}}


def resized(uid: str, container: str, requests: Mapping[str, str]) -> Body:
    """A patch of a pod's resize: what this container asks for; its limits stay."""
    wanted = {"name": container, "resources": {"requests": dict(requests)}}
    return {"metadata": {"uid": uid}, "spec": {"containers": [wanted]}}


def _pod_condition(kind: str, value: bool, reason: str, message: str, at: str) -> Body:
    return {
        "type": kind,
        "status": "True" if value else "False",
        "reason": reason,
        "message": message,
        "lastTransitionTime": at,
    }


def pinned(affinity: Mapping[str, Any] | None, node: str) -> Body:
    """The same affinity, and this node only."""
    wanted: Body = copy.deepcopy(dict(affinity or {}))
    node_affinity: Body = dict(wanted.get("nodeAffinity") or {})
    required: Body = dict(node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {})
    pin = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = [dict(term) for term in required.get("nodeSelectorTerms") or []]
    # Terms are alternatives, so each gets the pin. An empty term matches nothing and must not begin
    # to match.
    full = [term for term in terms if term.get("matchExpressions") or term.get("matchFields")]
    if not terms:
        full = [{}]
    required["nodeSelectorTerms"] = [
        term | {"matchFields": [*(term.get("matchFields") or []), pin]} for term in full
    ] or terms
    node_affinity["requiredDuringSchedulingIgnoredDuringExecution"] = required
    return wanted | {"nodeAffinity": node_affinity}


def event(key: Key, uid: str, series: str, *, kind: str, reason: str, note: str, at: str) -> Body:
    """A core/v1 Event on the StoppableContainer."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{key.name[:200]}.{series}", "namespace": key.namespace},
        "involvedObject": {
            "apiVersion": SC.api_version,
            "kind": SC.kind,
            "name": key.name,
            "namespace": key.namespace,
            "uid": uid,
        },
        "reason": reason,
        "message": note[:1000],
        "type": kind,
        "source": {"component": names.FIELD_MANAGER},
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }


def _pod(
    parent: Parent, role: Role, owner_uid: str, template: Template, spec: Body, *, root_id: str
) -> Body:
    ours = {
        names.MANAGED_BY_LABEL: names.MANAGED_BY,
        names.INSTANCE_LABEL: parent.name,
        names.ROLE_LABEL: role.value,
    }
    # The user's labels stay off the provider: a Service must never select it.
    is_consumer, theirs = role is Role.CONSUMER, dict(template.labels)
    return {
        "apiVersion": POD.api_version,
        "kind": POD.kind,
        "metadata": {
            "name": pod_name(parent.name, role),
            "namespace": parent.namespace,
            "labels": (theirs if is_consumer else placement.shadow_labels(theirs)) | ours,
            "annotations": (dict(template.annotations) if is_consumer else {})
            | {
                names.ROOT_ANNOTATION: root_id,
                names.TEMPLATE_HASH_ANNOTATION: digest(template),
            },
            "ownerReferences": [_owner(SCI.kind, parent.name, owner_uid, block=False)],
        },
        "spec": spec,
    }


def _owner(kind: str, name: str, uid: str, *, block: bool) -> Body:
    owner: Body = {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
    }
    return owner | {"blockOwnerDeletion": True} if block else owner
