"""The first of the four: what is known about one key, as the facts that a plan is made from.

Reads the store and the key's memory, does no I/O; `plan` and `status` take the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from controller import names
from controller.choices import ImageChangePolicy, StopMode, UpdatePolicy
from controller.errors import InvalidSpec
from controller.inplace import is_at_rest
from controller.manifests import pod_name
from controller.model import NODE, POD, SC, SCI, Agent, Instance, Key, Observed, Parent, Role
from controller.pods import controller_of, read_pod
from controller.roots import active, owner_of
from controller.template import normalise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.memory import Memory
    from controller.model import Body, Pod, Root
    from controller.store import AgentWord, Store

    _Choice = TypeVar("_Choice", UpdatePolicy, ImageChangePolicy, StopMode)

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
    roots = _roots(word, parent.uid)
    consumer = pods[Role.CONSUMER]
    root = active(roots, parent, consumer)
    gives = consumer is not None and bool(consumer.requests) and is_at_rest(root, consumer)
    return Observed(
        parent=parent,
        instance=instance,
        provider=pods[Role.PROVIDER],
        consumer=consumer,
        home=home,
        home_exists=node is not None,
        home_ready=ready,
        home_message=message,
        agent=word.agent if word else Agent(node=home),
        root=root,
        roots=roots,
        places=store.places(parent.uid),
        had_root=had_root(parent, instance),
        agents_settled=_settled(store),
        no_ready_node=_no_ready_node(store, parent),
        admitted=frozenset(
            uid for uid, session in memory.admitted.items() if word and word.session == session
        ),
        deleted=frozenset(memory.deleted),
        problems=dict(memory.problems),
        held=memory.held(now),
        sources=memory.sources,
        rested=memory.rest(now, resting=gives),
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
        update_policy=_chosen(UpdatePolicy, spec.get("updatePolicy")),
        image_change_policy=_chosen(ImageChangePolicy, spec.get("imageChangePolicy")),
        stop_mode=_chosen(StopMode, spec.get("stopMode")),
    )


def _chosen(kind: type[_Choice], value: object) -> _Choice:
    """The first of its kind is the default; the schema lets nothing else through."""
    found: _Choice = next((one for one in kind if one.value == value), next(iter(kind)))
    return found


def _roots(word: AgentWord | None, uid: str) -> tuple[Root, ...]:
    """Every root of this object on its node."""
    known = word.roots.values() if word else ()
    return tuple(root for root in known if owner_of(root.uid) == uid)


def read_instance(body: Body, parent: Parent) -> Instance:
    """The instance of that name; ours only when this very parent controls it."""
    metadata = body["metadata"]
    owner = controller_of(metadata)
    return Instance(
        uid=str(metadata["uid"]),
        ours=owner.get("uid") == parent.uid and owner.get("kind") == SC.kind,
        deleting="deletionTimestamp" in metadata,
        spec=body.get("spec") or {},
        status=body.get("status") or {},
        generation=int(metadata.get("generation") or 0),
        legacy_finalizer=names.LEGACY_INSTANCE_FINALIZER in (metadata.get("finalizers") or []),
    )


def _find_pod(
    store: Store, key: Key, role: Role, parent: Parent, instance: Instance | None
) -> Pod | None:
    body = store.get(POD, Key(key.namespace, pod_name(key.name, role)))
    return read_pod(body, parent, instance) if body else None


def _home(store: Store, parent: Parent, instance: Instance | None, provider: Pod | None) -> str:
    """Where the root lives, or will live.

    What is recorded, unless another node's agent has the root.
    """
    has_root = {place.node for place in store.places(parent.uid)}
    recorded = instance.node if instance and instance.ours else ""
    recorded = recorded or str(parent.status.get("node") or "")
    word = store.word(recorded) if recorded else None
    heard = word is not None and word.agent.connected
    if has_root and recorded not in has_root and (heard or not recorded):
        return min(has_root)
    scheduled = provider.node if provider and provider.ours and not provider.deleting else ""
    gone = store.get(NODE, Key("", recorded)) is None
    free = not had_root(parent, instance) and not has_root and not parent.deleting
    if recorded and free and (heard or gone):
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
