"""Which keys a change concerns: the way from an object, a root or an agent to the work queue; pure.

The `store` reports changes, this names the keys, `queue` takes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller import names
from controller.model import AGENT_POD, NODE, POD, SC, SCI, Key
from controller.store import key_of

if TYPE_CHECKING:
    from controller.model import Body, Kind
    from controller.store import Store


def concerned(store: Store, kind: Kind, body: Body) -> set[Key]:
    """The keys that must be looked at because this object changed or went."""
    key = key_of(body)
    if kind in {SC, SCI}:
        return {key}
    if kind == AGENT_POD:
        node = str((body.get("spec") or {}).get("nodeName") or "")
        return {Key("", node)} if node else set()
    if kind == NODE:
        return {key} | on_node(store, key.name)
    if kind == POD:
        # A foreign pod may stand where the provider of one and the consumer of another belong.
        label = str((body["metadata"].get("labels") or {}).get(names.INSTANCE_LABEL) or "")
        wanted = {key.name, key.name.removesuffix(names.PROVIDER_SUFFIX), label} - {""}
        keys = {Key(key.namespace, name) for name in wanted}
        return {one for one in keys if store.get(SC, one)}
    return set()


def on_node(store: Store, node: str) -> set[Key]:
    """The StoppableContainers of a node, and those that have none yet."""
    keys = set()
    for body in store.all(SC):
        instance = store.get(SCI, key_of(body)) or {}
        at = (instance.get("spec") or {}).get("node") or (body.get("status") or {}).get("node")
        if not at or at == node:
            keys.add(key_of(body))
    word = store.word(node)
    roots = word.roots.values() if word else ()
    return keys | {Key(root.namespace, root.name) for root in roots}
