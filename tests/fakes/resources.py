"""What the API server does with a pod's requests: defaults, the QoS class, the resize subresource.

`kube` calls these; quantities are compared as they are written, so tests write them alike.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from controller.errors import Denied

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.model import Body

CLASSED = ("cpu", "memory")


def set_defaults(pod: Body) -> None:
    """A limit alone asks for itself, and the class is written once."""
    for container in pod["spec"]["containers"]:
        resources = container.get("resources") or {}
        if resources.get("limits"):
            resources["requests"] = resources["limits"] | (resources.get("requests") or {})
    pod.setdefault("status", {})["qosClass"] = qos_class(pod["spec"])


def qos_class(spec: Mapping[str, Any]) -> str:
    """As kubelet will order pods by it."""
    all_resources = [one.get("resources") or {} for one in spec["containers"]]
    asked = [(one.get("requests") or {}, one.get("limits") or {}) for one in all_resources]
    if not any(requests or limits for requests, limits in asked):
        return "BestEffort"
    whole = all(
        key in limits and requests.get(key) == limits[key]
        for requests, limits in asked
        for key in CLASSED
    )
    return "Guaranteed" if whole else "Burstable"


def resized(pod: Body, patch: Mapping[str, Any]) -> Body:
    """The pod with what the patch of its resize subresource may change."""
    wanted = copy.deepcopy(pod)
    known = {one["name"]: one for one in wanted["spec"]["containers"]}
    for change in patch["spec"]["containers"]:
        if change["name"] not in known:
            raise Denied("spec.containers: Forbidden: containers may not be added")
        resources = known[change["name"]].setdefault("resources", {})
        for part, values in change["resources"].items():
            if not values.keys() <= set(CLASSED):
                raise Denied("spec: Forbidden: only cpu and memory resources are mutable")
            resources[part] = (resources.get(part) or {}) | values
    if qos_class(wanted["spec"]) != pod["status"]["qosClass"]:
        raise Denied("spec: Invalid value: Pod QOS Class may not change as a result of resizing")
    return wanted
