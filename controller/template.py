"""The user's two template forms become one PodSpec here, checked and bounded; pure.

`observe` calls `normalise`; `manifests` makes pods from the result; nobody writes it back to the
user's object.
"""

from __future__ import annotations

import copy
import hashlib
import json
from typing import TYPE_CHECKING, Any

from controller import names
from controller.errors import InvalidSpec
from controller.model import Template

if TYPE_CHECKING:
    from collections.abc import Mapping

# The API server's own limit for an object is 1.5 MiB; a template beyond this could not be copied
# into a pod.
MAX_TEMPLATE_BYTES = 512 * 1024
# What the short form has beside its container: fields of a PodSpec, of the same name and meaning.
BESIDE_CONTAINER = (
    "nodeSelector",
    "tolerations",
    "volumes",
    "initContainers",
    "affinity",
    "serviceAccountName",
    "imagePullSecrets",
    "runtimeClassName",
    "hostNetwork",
    "dnsPolicy",
)


def normalise(spec: Mapping[str, Any]) -> Template:
    """One PodSpec out of either form; raises InvalidSpec with what to change."""
    template = _mapping(spec.get("template"), "spec.template")
    if len(json.dumps(template)) > MAX_TEMPLATE_BYTES:
        raise InvalidSpec("spec.template is larger than 512 KiB: make it smaller")
    has_short, has_pod = template.get("container") is not None, template.get("spec") is not None
    if has_short == has_pod:
        raise InvalidSpec("spec.template: give exactly one of `container` and `spec`")
    pod = _pod_from_short_form(template) if has_short else _pod_from_spec(template)
    _check(pod)
    metadata = _mapping(template.get("metadata") or {}, "spec.template.metadata")
    return Template(
        pod=pod,
        labels=_strings(metadata.get("labels"), "spec.template.metadata.labels"),
        annotations=_strings(metadata.get("annotations"), "spec.template.metadata.annotations"),
        init=spec.get("init") is not False,
    )


def digest(template: Template) -> str:
    """What a running consumer was made from.

    The image is left out, for it is compared on its own.
    """
    pod = copy.deepcopy(dict(template.pod))
    pod["containers"][0].pop("image")
    content = [pod, dict(template.labels), dict(template.annotations), template.init]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _pod_from_short_form(template: Mapping[str, Any]) -> dict[str, Any]:
    container = copy.deepcopy(dict(_mapping(template["container"], "spec.template.container")))
    container.setdefault("name", names.CONSUMER_CONTAINER)
    pod: dict[str, Any] = {"containers": [container]}
    for beside in BESIDE_CONTAINER:
        if template.get(beside):
            pod[beside] = copy.deepcopy(template[beside])
    return pod


def _pod_from_spec(template: Mapping[str, Any]) -> dict[str, Any]:
    for beside in BESIDE_CONTAINER:
        if template.get(beside):
            raise InvalidSpec(
                f"spec.template.{beside} belongs to the short form: "
                f"move it to spec.template.spec.{beside}"
            )
    pod = copy.deepcopy(dict(_mapping(template["spec"], "spec.template.spec")))
    containers = pod.get("containers")
    if isinstance(containers, list) and containers and isinstance(containers[0], dict):
        containers[0].setdefault("name", names.CONSUMER_CONTAINER)
    return pod


def _check(pod: Mapping[str, Any]) -> None:
    containers = pod.get("containers")
    if not isinstance(containers, list) or not containers or not isinstance(containers[0], dict):
        raise InvalidSpec("spec.template: at least one container is required")
    if not isinstance(containers[0].get("image"), str) or not containers[0]["image"].strip():
        raise InvalidSpec("spec.template: the first container needs an image")
    if pod.get("hostUsers") is False:
        raise InvalidSpec(
            "spec.template.spec.hostUsers: false is not supported: a persistent root cannot be "
            "mapped into a user namespace; remove the field"
        )


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidSpec(f"{where}: an object is required")
    return value


def _strings(value: object, where: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise InvalidSpec(f"{where}: a map of strings is required")
    return dict(value)
