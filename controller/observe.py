"""The first of the four: what is known about one key, as the facts that a plan is made from.

Reads the store and the key's memory, does no I/O; `plan` and `status` take the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controller import names
from controller.errors import InvalidSpec
from controller.manifests import pod_name
from controller.model import (
    NODE,
    POD,
    SC,
    SCI,
    Agent,
    ContainerState,
    Instance,
    Key,
    Observed,
    Parent,
    Pod,
    Role,
)
from controller.template import normalise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.memory import Memory
    from controller.model import Body
    from controller.store import AgentWord, Store

MAX_SUMMARY_NODES = 5


def observe(store: Store, memory: Memory, key: Key, now: float) -> Observed:
    """Everything about this key, at this moment."""
    body = store.get(SC, key)
    if body is None:
        return Observed()
    parent = read_parent(body)
    instance_body = store.get(SCI, key)
    instance = read_instance(instance_body, parent) if instance_body else None
    pods = {role: _find_pod(store, key, role, parent, instance) for role in Role}
    home = _home(store, parent, instance, pods[Role.PROVIDER])
    word = store.word(home) if home else None
    node = store.get(NODE, Key("", home)) if home else None
    ready, message = _node_ready(node)
    return Observed(
        parent=parent,
        instance=instance,
        provider=pods[Role.PROVIDER],
        consumer=pods[Role.CONSUMER],
        home=home,
        home_exists=node is not None,
        home_ready=ready,
        home_message=message,
        agent=word.agent if word else Agent(node=home),
        root=word.roots.get(parent.uid) if word else None,
        root_nodes=store.root_nodes(parent.uid),
        had_root=had_root(parent, instance),
        agents_settled=_settled(store),
        no_ready_node=_no_ready_node(store, parent),
        admitted=frozenset(
            uid for uid, session in memory.admitted.items() if word and word.session == session
        ),
        deleted_on=frozenset(memory.deleted_on),
        problems=dict(memory.problems),
        held=memory.held(now),
    )


def read_parent(body: Body) -> Parent:
    """The StoppableContainer, its template normalised or the reason why not."""
    metadata, spec = body["metadata"], body.get("spec") or {}
    template, invalid = None, ""
    try:
        template = normalise(spec)
    except InvalidSpec as error:
        invalid = str(error)
    return Parent(
        namespace=str(metadata["namespace"]),
        name=str(metadata["name"]),
        uid=str(metadata["uid"]),
        generation=int(metadata.get("generation") or 0),
        deleting="deletionTimestamp" in metadata,
        finalized=names.FINALIZER in (metadata.get("finalizers") or []),
        running=spec.get("running") is True,
        spec=spec,
        status=body.get("status") or {},
        template=template,
        invalid=invalid,
    )


def read_instance(body: Body, parent: Parent) -> Instance:
    """The instance of that name; ours only when this very parent controls it."""
    metadata = body["metadata"]
    owner = _controller_of(metadata)
    return Instance(
        uid=str(metadata["uid"]),
        ours=owner.get("uid") == parent.uid and owner.get("kind") == SC.kind,
        deleting="deletionTimestamp" in metadata,
        spec=body.get("spec") or {},
        status=body.get("status") or {},
        generation=int(metadata.get("generation") or 0),
    )


def read_pod(body: Body, parent: Parent, instance: Instance | None) -> Pod:
    """A pod of one of our two names; whose it is, is decided by its owner's uid."""
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    owner = _controller_of(metadata)
    of_instance = (
        owner.get("kind") == SCI.kind
        and owner.get("apiVersion") == names.API_VERSION
        and owner.get("name") == parent.name
    )
    ours = of_instance and instance is not None and instance.ours and owner["uid"] == instance.uid
    marked = (metadata.get("labels") or {}).get(names.MANAGED_BY_LABEL) == names.MANAGED_BY and (
        metadata.get("annotations") or {}
    ).get(names.ROOT_ANNOTATION) == parent.uid
    found = {item.get("type"): item for item in status.get("conditions") or []}
    scheduled = found.get("PodScheduled") or {}
    first = spec["containers"][0]
    return Pod(
        name=str(metadata["name"]),
        uid=str(metadata["uid"]),
        ours=ours,
        left=of_instance and marked and not ours,
        deleting="deletionTimestamp" in metadata,
        node=str(spec.get("nodeName") or ""),
        phase=str(status.get("phase") or "Pending"),
        reason=str(status.get("reason") or ""),
        message=str(status.get("message") or ""),
        ready=(found.get("Ready") or {}).get("status") == "True",
        disrupted=(found.get("DisruptionTarget") or {}).get("status") == "True"
        or status.get("reason") == "Evicted",
        unschedulable=_unschedulable(scheduled),
        restart_policy=str(spec.get("restartPolicy") or "Always"),
        image=str(first.get("image") or ""),
        template_hash=str(
            (metadata.get("annotations") or {}).get(names.TEMPLATE_HASH_ANNOTATION) or ""
        ),
        container=read_container(status, str(first.get("name"))),
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
        last_message=str(before.get("message") or before.get("reason") or ""),
        image_id=str(entry.get("imageID") or ""),
        ever_started=bool("running" in state or ended or before),
    )


def _unschedulable(condition: Mapping[str, Any]) -> str:
    """The scheduler's words, when it found no place."""
    if condition.get("status") != "False" or condition.get("reason") != "Unschedulable":
        return ""
    return str(condition.get("message") or "")


def _controller_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    owners = metadata.get("ownerReferences") or []
    return next((dict(owner) for owner in owners if owner.get("controller")), {})


def _find_pod(
    store: Store, key: Key, role: Role, parent: Parent, instance: Instance | None
) -> Pod | None:
    body = store.get(POD, Key(key.namespace, pod_name(key.name, role)))
    return read_pod(body, parent, instance) if body else None


def _home(store: Store, parent: Parent, instance: Instance | None, provider: Pod | None) -> str:
    """Where the root lives, or will live.

    What is recorded, unless another node's agent has the root.
    """
    has_root = store.root_nodes(parent.uid)
    recorded = instance.node if instance and instance.ours else ""
    recorded = recorded or str(parent.status.get("node") or "")
    word = store.word(recorded) if recorded else None
    heard = word is not None and word.agent.connected
    if has_root and recorded not in has_root and (heard or not recorded):
        return min(has_root)
    scheduled = provider.node if provider and provider.ours and not provider.deleting else ""
    gone = store.get(NODE, Key("", recorded)) is None
    if recorded and not had_root(parent, instance) and not has_root and (heard or gone):
        # Nothing of the user's was ever there, so a changed template may still choose another node.
        return scheduled
    return recorded or scheduled


def had_root(parent: Parent, instance: Instance | None) -> bool:
    """Whether a root with data is on record."""
    known = instance.status if instance and instance.ours else {}
    return bool(parent.status.get("imageDigest") or known.get("imageDigest"))


def _node_ready(node: Body | None) -> tuple[bool, str]:
    if node is None:
        return False, ""
    found = (node.get("status") or {}).get("conditions") or []
    ready: Mapping[str, Any] = next((item for item in found if item.get("type") == "Ready"), {})
    return ready.get("status") == "True", str(ready.get("message") or ready.get("reason") or "")


def _settled(store: Store) -> bool:
    """Whether every agent on a living node has named its roots."""
    return all(
        word.agent.connected or not _node_ready(store.get(NODE, Key("", node)))[0]
        for node, word in store.words().items()
    )


def _no_ready_node(store: Store, parent: Parent) -> str:
    """Why none of the nodes that the template asks for can take the root; empty when one can."""
    asked: Mapping[str, Any] = parent.template.pod if parent.template else {}
    extra: Mapping[str, Any] = parent.spec.get("provider") or {}
    selector = dict(asked.get("nodeSelector") or {}) | dict(extra.get("nodeSelector") or {})
    wanted = {
        str(node["metadata"]["name"])
        for node in store.all(NODE)
        if selector.items() <= (node["metadata"].get("labels") or {}).items()
    }
    words = store.words()
    if any(words[node].agent.usable for node in wanted & words.keys()):
        return ""
    if selector and not wanted:
        return ""  # the scheduler says it better
    if not words:
        return "no node agent is known; is the agent's DaemonSet running?"
    parts = [f"{node}: {_agent_trouble(words.get(node))}" for node in sorted(wanted)]
    more = len(parts) - MAX_SUMMARY_NODES
    return "; ".join(parts[:MAX_SUMMARY_NODES]) + (f"; and {more} more nodes" if more > 0 else "")


def _agent_trouble(word: AgentWord | None) -> str:
    if word is None:
        return "no node agent runs there"
    if not word.agent.connected:
        return "the agent is not reachable"
    return f"{word.agent.status.reason}: {word.agent.status.message}"
