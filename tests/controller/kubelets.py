"""Scheduler and kubelets of the small world: they place pods, start containers, and end them.

`World` gives them turns; a container lives or fails as the fake agent of its node says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller import names
from controller.model import NODE, POD, Body
from controller.requests import quantity
from controller.store import key_of

if TYPE_CHECKING:
    from tests.fakes.agent import FakeAgents
    from tests.fakes.kube import FakeKube


class Kubelets:
    """All nodes of the world."""

    def __init__(self, kube: FakeKube, agents: FakeAgents) -> None:
        self.kube, self.agents = kube, agents
        self.dead: set[str] = set()
        self.bad_images: set[str] = set()
        self.never_ready: set[str] = set()
        # Why a pod cannot have more than it has; empty: there is room.
        self.no_room = ""

    def turn(self) -> bool:
        """One turn of everything that is not the controller; says whether anything moved."""
        moved = False
        for body in self.kube.all(POD):
            if names.AGENT_POD_LABEL in (body["metadata"].get("labels") or {}):
                continue
            node = body["spec"].get("nodeName")
            if node and node not in self.dead:
                moved |= self._kubelet(body, node)
            elif not node:
                moved |= self._schedule(body)
        return moved

    def _schedule(self, pod: Body) -> bool:
        for node in sorted(self.kube.all(NODE), key=lambda one: str(one["metadata"]["name"])):
            name = node["metadata"]["name"]
            if name not in self.dead and fits(pod, node):
                scheduled = {"type": "PodScheduled", "status": "True"}
                patch = {"spec": {"nodeName": name}, "status": {"conditions": [scheduled]}}
                self.kube.change(POD, key_of(pod), patch)
                return True
        return self._set_status(
            pod,
            {
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/2 nodes are available",
                    }
                ]
            },
        )

    def _kubelet(self, pod: Body, node: str) -> bool:
        uid = pod["metadata"]["uid"]
        if "deletionTimestamp" in pod["metadata"]:
            self.agents.stop(node, uid)
            self.kube.forget(POD, key_of(pod))
            return True
        status = pod.get("status") or {}
        if status.get("phase") == "Running" and status.get("containerStatuses"):
            return self._follow_gates(pod) or self._follow_resize(pod)
        if status.get("phase") in {"Failed", "Succeeded"} or status.get("containerStatuses"):
            return self._retry_pull(pod, node)
        return self._start(pod, node)

    def _follow_gates(self, pod: Body) -> bool:
        """Ready is what the container and every readiness gate of the pod say."""
        conditions = {one["type"]: one for one in pod["status"].get("conditions") or []}
        gates = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or []]
        if not gates:
            return False
        told = all(conditions.get(gate, {}).get("status") == "True" for gate in gates)
        whole = conditions.get("ContainersReady", {}).get("status") == "True"
        conditions["Ready"] = {"type": "Ready", "status": str(told and whole)}
        return self._set_status(pod, {"conditions": list(conditions.values())})

    def _follow_resize(self, pod: Body) -> bool:
        """What the spec asks for is granted, or waits."""
        asked, entry = _requests(pod), dict(pod["status"]["containerStatuses"][0])
        if not asked:
            return False
        others = [
            one
            for one in pod["status"].get("conditions") or []
            if one["type"] != "PodResizePending"
        ]
        allocated = entry.get("allocatedResources", {})
        if asked != allocated and self.no_room and _is_more(asked, allocated):
            waits = {
                "type": "PodResizePending",
                "status": "True",
                "reason": self.no_room,
                "message": "Node didn't have enough resource: cpu",
                "observedGeneration": pod["metadata"]["generation"],
            }
            return self._set_status(pod, {"conditions": [*others, waits]})
        if asked != allocated:
            entry |= {"allocatedResources": asked, "resources": {"requests": asked}}
        return self._set_status(pod, {"conditions": others, "containerStatuses": [entry]})

    def _retry_pull(self, pod: Body, node: str) -> bool:
        waiting = pod["status"].get("containerStatuses", [{}])[0].get("state", {}).get("waiting")
        pulls = waiting and waiting["reason"] == "ImagePullBackOff"
        image = pod["spec"]["containers"][0]["image"]
        return bool(pulls and image not in self.bad_images and self._start(pod, node))

    def _start(self, pod: Body, node: str) -> bool:
        image = pod["spec"]["containers"][0]["image"]
        if image in self.bad_images:
            waiting = {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}"'}
            return self._set_container(pod, {"waiting": waiting}, "Pending", ready=False)
        refusal = self.agents.start(node, pod["metadata"]["uid"])
        if refusal:
            waiting = {"reason": "RunContainerError", "message": refusal}
            return self._set_container(pod, {"waiting": waiting}, "Pending", ready=False)
        running = {"startedAt": self.kube.now()}
        ready = image not in self.never_ready and not pod["spec"].get("readinessGates")
        return self._set_container(pod, {"running": running}, "Running", ready=ready)

    def _set_container(self, pod: Body, state: Body, phase: str, *, ready: bool) -> bool:
        container = pod["spec"]["containers"][0]
        entry = {
            "name": container["name"],
            "state": state,
            "imageID": "sha256:" + container["image"].replace("/", "-")
            if "running" in state or "message" in state.get("waiting", {"message": 1})
            else "",
        }
        if state.get("waiting", {}).get("reason") == "ImagePullBackOff":
            entry["imageID"] = ""
        if "running" in state and _requests(pod):
            entry["allocatedResources"] = _requests(pod)
        whole = "running" in state and container["image"] not in self.never_ready
        conditions = [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Ready", "status": "True" if ready else "False"},
            {"type": "ContainersReady", "status": str(whole)},
        ]
        return self._set_status(
            pod, {"phase": phase, "containerStatuses": [entry], "conditions": conditions}
        )

    def _set_status(self, pod: Body, status: Body) -> bool:
        before = pod["metadata"]["resourceVersion"]
        after = self.kube.change(POD, key_of(pod), {"status": status})
        return bool(after["metadata"]["resourceVersion"] != before)


def _requests(pod: Body) -> Body:
    return dict((pod["spec"]["containers"][0].get("resources") or {}).get("requests") or {})


def _is_more(asked: Body, allocated: Body) -> bool:
    sizes = {key: (quantity(value), quantity(allocated[key])) for key, value in asked.items()}
    return any(
        one is not None and other is not None and one > other for one, other in sizes.values()
    )


def fits(pod: Body, node: Body) -> bool:
    """Node selector and required node affinity."""
    labels, name = node["metadata"].get("labels") or {}, node["metadata"]["name"]
    selector = pod["spec"].get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        return False
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = required.get("nodeSelectorTerms") or []
    return not terms or any(
        all(name in field["values"] for field in term.get("matchFields") or [])
        and all(
            labels.get(one["key"]) in one["values"] for one in term.get("matchExpressions") or []
        )
        for term in terms
    )
