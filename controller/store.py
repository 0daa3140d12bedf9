"""What we know now: API objects by kind and key, and every agent's word about its node.

Fed by watch events, by the responses of our own writes and by a periodic LIST that drops ghosts;
read by `observe`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from controller.model import Agent, AgentStatus, Key, Kind, Place
from controller.roots import owner_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from controller.model import Body, Root

# Deleted uids are remembered so that a late answer cannot bring an object back; old ones are
# forgotten.
MAX_TOMBSTONES = 4096


def key_of(body: Mapping[str, Any]) -> Key:
    """Namespace and name of an object."""
    metadata = body["metadata"]
    return Key(str(metadata.get("namespace") or ""), str(metadata["name"]))


def revision(body: Mapping[str, Any]) -> int:
    """The resourceVersion; the API server promises that it can be compared as a number."""
    text = str(body["metadata"].get("resourceVersion") or "0")
    return int(text) if text.isdecimal() else 0


@dataclass(slots=True)
class AgentWord:
    """What one node's agent has said in its present or last stream."""

    agent: Agent
    roots: dict[str, Root] = field(default_factory=dict)
    unconfirmed: set[str] = field(default_factory=set)
    session: int = 0
    silent_since: float = 0.0


class Store:
    """Objects and agents; `changed(kind or None, body or node)` wakes whoever must look again."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[Key, Body]] = {}
        self._buried: OrderedDict[str, None] = OrderedDict()
        self._words: dict[str, AgentWord] = {}
        self._places: dict[str, set[Place]] = {}
        # What was known before and what is known now, at the very moment; None: not there.
        self.on_news: Callable[[Kind, Body | None, Body | None], None] = lambda *_: None
        self.on_object: Callable[[Kind, Body], None] = lambda _kind, _body: None
        self.on_root: Callable[[str, Key], None] = lambda _node, _key: None
        self.on_agent: Callable[[str], None] = lambda _node: None

    def put(self, kind: Kind, body: Body) -> bool:
        """Takes an object unless something newer is known; says whether it was taken."""
        key, uid = key_of(body), str(body["metadata"].get("uid"))
        known = self._objects.setdefault(kind, {})
        present = known.get(key)
        if uid in self._buried or (present and revision(present) > revision(body)):
            return False
        changed = present is None or revision(present) < revision(body)
        known[key] = _slim(body)
        if changed:
            self.on_news(kind, present, body)
            self.on_object(kind, body)
        return True

    def drop(self, kind: Kind, body: Body) -> None:
        """Forgets an object that is gone, for good."""
        key, uid = key_of(body), str(body["metadata"].get("uid"))
        self._buried[uid] = None
        while len(self._buried) > MAX_TOMBSTONES:
            self._buried.popitem(last=False)
        present = self._objects.get(kind, {}).get(key)
        if present and present["metadata"].get("uid") == uid:
            del self._objects[kind][key]
            self.on_news(kind, present, None)
        self.on_object(kind, body)

    def replace(
        self, kind: Kind, items: Iterable[Body], seen_at: int, belongs: Callable[[Body], bool]
    ) -> int:
        """Takes a full LIST as the truth; returns how much of it the watch had missed.

        Objects newer than the LIST stay. `belongs` limits the drop to what the LIST could have
        named.
        """
        listed = {key_of(item): item for item in items}
        missed = sum(self._is_newer(kind, item) for item in listed.values())
        for item in listed.values():
            self.put(kind, item)
        for key, body in list(self._objects.get(kind, {}).items()):
            if key not in listed and revision(body) <= seen_at and belongs(body):
                missed += 1
                self.drop(kind, body)
        return missed

    def get(self, kind: Kind, key: Key) -> Body | None:
        """The object as last known."""
        return self._objects.get(kind, {}).get(key)

    def all(self, kind: Kind) -> list[Body]:
        """Every known object of a kind."""
        return list(self._objects.get(kind, {}).values())

    def _is_newer(self, kind: Kind, item: Body) -> bool:
        if str(item["metadata"].get("uid")) in self._buried:
            return False  # it was deleted since, and the watch has told so
        present = self._objects.get(kind, {}).get(key_of(item))
        return present is None or revision(present) < revision(item)

    # What agents say.

    def word(self, node: str) -> AgentWord | None:
        """The word of a node's agent, when there ever was one."""
        return self._words.get(node)

    def words(self) -> dict[str, AgentWord]:
        """Every agent's word, by node."""
        return self._words

    def expect_agent(self, node: str, now: float) -> None:
        """An agent should speak for this node; silence counts from now."""
        if node not in self._words:
            self._words[node] = AgentWord(Agent(node=node), silent_since=now)

    def forget_agent(self, node: str) -> None:
        """The node no longer exists."""
        word = self._words.pop(node, None)
        if word is None:
            return
        for uid in word.roots:
            self._displace(Place(node, uid))
        self.on_agent(node)

    def begin_snapshot(self, node: str, now: float) -> None:
        """A new stream: its roots are the truth once the snapshot is complete."""
        self.expect_agent(node, now)
        word = self._words[node]
        word.session += 1
        word.unconfirmed = set(word.roots)

    def end_snapshot(self, node: str) -> None:
        """Roots that were not named do not exist."""
        word = self._words[node]
        gone = [word.roots[uid] for uid in word.unconfirmed if uid in word.roots]
        word.agent = replace(word.agent, connected=True)
        for root in gone:
            self.drop_root(node, root.uid)
        self.on_agent(node)

    def agent_silent(self, node: str, now: float) -> None:
        """The stream ended; what was said last is kept, as the last word."""
        word = self._words.get(node)
        if word is None or not word.agent.connected:
            return
        word.agent = replace(word.agent, connected=False)
        word.silent_since = now
        self.on_agent(node)

    def put_agent(self, node: str, status: AgentStatus) -> None:
        """The agent says whether its node can take roots."""
        word = self._words[node]
        changed = word.agent.status != status
        word.agent = replace(word.agent, status=status)
        if changed and word.agent.connected:
            self.on_agent(node)

    def put_root(self, node: str, root: Root) -> None:
        """The agent says how a root is."""
        word = self._words.get(node)
        if word is None:
            return
        word.unconfirmed.discard(root.uid)
        changed = word.roots.get(root.uid) != root
        word.roots[root.uid] = root
        self._places.setdefault(owner_of(root.uid), set()).add(Place(node, root.uid))
        if changed:
            self.on_root(node, Key(root.namespace, root.name))

    def drop_root(self, node: str, uid: str) -> None:
        """The root is not on this node any more."""
        word = self._words.get(node)
        root = word.roots.pop(uid, None) if word else None
        self._displace(Place(node, uid))
        if root:
            self.on_root(node, Key(root.namespace, root.name))

    def places(self, uid: str) -> frozenset[Place]:
        """Where agents name a root of the StoppableContainer with this uid."""
        return frozenset(self._places.get(uid, ()))

    def _displace(self, place: Place) -> None:
        owner = owner_of(place.root)
        places = self._places.get(owner, set())
        places.discard(place)
        if not places:
            self._places.pop(owner, None)


def _slim(body: Body) -> Body:
    """Without the two parts that are long and never read."""
    metadata = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    return {**body, "metadata": metadata}
