"""Nodes: where the agent is reached.

And the label and condition that say whether a node can take roots.

`queue` sends node keys here; the scheduler reads the label, people read the condition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from controller import names
from controller.model import AGENT_POD, NODE, Key

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from controller.doors import AgentsDoor, KubeDoor
    from controller.model import Body
    from controller.store import AgentWord, Store

# An agent that is being replaced, or a controller that has just begun, must not unlabel the
# cluster.
GRACE_SECONDS = 15.0


class Wanted(NamedTuple):
    """What the node should carry."""

    label: bool
    reason: str
    message: str


def wanted(word: AgentWord, *, present: bool) -> Wanted:
    """Label and condition out of the agent's word; pure."""
    status = word.agent.status
    if word.agent.connected:
        return Wanted(status.ready, status.reason or "Unknown", status.message)
    if present:
        return Wanted(False, "AgentUnavailable", "the node agent's pod runs but cannot be reached")
    return Wanted(False, "NoAgent", "no node agent runs on this node")


def agent_address(pods: list[Body], node: str) -> str:
    """Where this node's agent listens; the newest pod counts while one replaces another."""
    found = [pod for pod in pods if pod["spec"].get("nodeName") == node and _address(pod)]
    found.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
    return _address(found[-1]) if found else ""


def _address(pod: Body) -> str:
    status = pod.get("status") or {}
    host = str(status.get("podIP") or "")
    if not host or status.get("phase") != "Running":
        return ""
    return f"[{host}]:{names.AGENT_PORT}" if ":" in host else f"{host}:{names.AGENT_PORT}"


class Nodes:
    """Keeps agents pointed at and nodes labelled."""

    def __init__(
        self,
        kube: KubeDoor,
        store: Store,
        agents: AgentsDoor,
        *,
        may_act: Callable[[], bool],
        monotonic: Callable[[], float],
        clock: Callable[[], datetime],
    ) -> None:
        self._kube, self._store, self._agents = kube, store, agents
        self._may_act, self._monotonic, self._clock = may_act, monotonic, clock

    async def reconcile(self, key: Key) -> float | None:
        """One node; answers when to look again."""
        node = self._store.get(NODE, key)
        address = agent_address(self._store.all(AGENT_POD), key.name) if node else ""
        # Both replicas listen to the agents, so that taking over starts with everything known.
        self._agents.point(key.name, address)
        if node is None:
            self._store.forget_agent(key.name)
            return None
        labelled = names.AGENT_LABEL in (node["metadata"].get("labels") or {})
        if labelled:
            self._store.expect_agent(key.name, self._monotonic())
        word = self._store.word(key.name)
        if word is None or not self._may_act():
            return None
        silent = self._monotonic() - word.silent_since
        if not word.agent.connected and silent < GRACE_SECONDS:
            return GRACE_SECONDS - silent
        await self._write(key, node, wanted(word, present=bool(address)))
        return None

    async def _write(self, key: Key, node: Body, want: Wanted) -> None:
        value = names.AGENT_READY if want.label else None
        labels = node["metadata"].get("labels") or {}
        if labels.get(names.AGENT_LABEL) != value:
            patch = {"metadata": {"labels": {names.AGENT_LABEL: value}}}
            self._store.put(NODE, await self._kube.patch(NODE, key, patch))
        condition = condition_change(node, want, self._clock().strftime("%Y-%m-%dT%H:%M:%SZ"))
        if condition:
            status = {"status": {"conditions": [condition]}}
            made = await self._kube.patch(NODE, key, status, subresource="status")
            self._store.put(NODE, made)


def condition_change(node: Body, want: Wanted, now: str) -> dict[str, Any] | None:
    """The condition to write, None when the node says so already; pure."""
    found = (node.get("status") or {}).get("conditions") or []
    old: Body = next((item for item in found if item.get("type") == names.NODE_CONDITION), {})
    value = "True" if want.label else "False"
    # The API server leaves out what is empty.
    same = (old.get("status"), old.get("reason") or "", old.get("message") or "")
    if same == (value, want.reason, want.message):
        return None
    since = old.get("lastTransitionTime") if old.get("status") == value else None
    return {
        "type": names.NODE_CONDITION,
        "status": value,
        "reason": want.reason,
        "message": want.message,
        "lastHeartbeatTime": now,
        "lastTransitionTime": since or now,
    }
