"""An API server in memory: revisions, uids, apply, finalizers, deletion with grace, owners, watch.

Implements `controller.doors.KubeDoor`; a test looks at `objects` and `writes`, and breaks it with
`deny` and `before`.
"""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any

from controller.errors import Absent, Conflict, Denied
from controller.model import NODE, POD, Body, Key, Kind
from tests.fakes.merging import merge_applied, merge_patch
from tests.fakes.resources import resized, set_defaults
from tests.fakes.writers import note_writer, stored

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

Change = tuple[Kind, str, Body]
Bodies = list[Body]
STARTED = "2026-01-01T00:00:00Z"


def plain(kind: Kind) -> Kind:
    """The kind without the watcher's subset."""
    return Kind(kind.api_version, kind.kind, kind.plural, kind.namespaced)


class FakeKube:
    """One cluster's objects."""

    def __init__(self) -> None:
        self.objects: dict[tuple[Kind, Key], Body] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.watchers: list[Callable[[Change], None]] = []
        self.deny: Callable[[Kind, Body], str] = lambda _kind, _body: ""
        self.unreadable: set[str] = set()
        self.reads: list[tuple[str, str]] = []
        self.now: Callable[[], str] = lambda: STARTED
        self.before: Callable[[str], Awaitable[None]] | None = None
        self.unserved: set[str] = set()
        self._revision = itertools.count(1)
        self._uid = itertools.count(1)
        self._applied: dict[tuple[str, str], Body] = {}

    # The door.

    async def get(self, kind: Kind, key: Key) -> Body | None:
        await self._enter("get")
        found = self.objects.get((plain(kind), key))
        return copy.deepcopy(found) if found else None

    async def metadata(self, kind: Kind, key: Key) -> Body | None:
        self.reads.append((kind.kind, key.name))
        if kind.kind in self.unreadable:
            raise Denied(f'{kind.plural} "{key.name}" is forbidden')
        found = await self.get(kind, key)
        known = ("creationTimestamp", "managedFields")
        return {name: found["metadata"].get(name) for name in known} if found else None

    async def list(
        self, kind: Kind, namespace: str = "", selector: str = ""
    ) -> tuple[list[Body], int]:
        await self._enter("list")
        found = [
            copy.deepcopy(body)
            for (one, key), body in self.objects.items()
            if one == plain(kind)
            and (not namespace or key.namespace == namespace)
            and selects(selector, body)
        ]
        return found, next(self._revision)

    async def create(self, kind: Kind, body: Body) -> Body:
        await self._enter("create", kind, body["metadata"]["name"])
        refused = self.deny(kind, body)
        if refused:
            raise Denied(refused)
        return copy.deepcopy(self.make(kind, body))

    async def apply(
        self, kind: Kind, body: Body, *, subresource: str = "", force: bool = True
    ) -> Body:
        name = body["metadata"]["name"]
        await self._enter(f"apply {subresource}".strip(), kind, name)
        key = Key(body["metadata"].get("namespace", ""), name)
        present, uid = self.objects.get((kind, key)), body["metadata"].get("uid")
        if present is None:
            if subresource:
                raise Absent(name)
            if uid:
                raise Conflict(f"uid {uid}: no such object")
            made = self.make(kind, body)
            self._applied[made["metadata"]["uid"], ""] = copy.deepcopy(body)
            return copy.deepcopy(made)
        if uid and uid != present["metadata"]["uid"]:
            raise Conflict(f"uid {uid} is not {present['metadata']['uid']}")
        owned = (present["metadata"]["uid"], subresource)
        if not force and owned not in self._applied:
            raise Conflict("fields are owned by another manager")
        before = self._applied.get(owned, {})
        wanted = merge_applied(present, before, body, ("status",) if subresource else ("spec",))
        self._applied[owned] = copy.deepcopy(body)
        return copy.deepcopy(self._save(kind, key, wanted))

    async def patch(
        self, kind: Kind, key: Key, patch: Mapping[str, Any], *, subresource: str = ""
    ) -> Body:
        await self._enter(f"patch {subresource}".strip(), kind, key.name)
        present = self.objects.get((kind, key))
        if present is None or subresource in self.unserved:
            raise Absent(key.name)
        wanted = copy.deepcopy(present)
        metadata = patch.get("metadata") or {}
        for field in ("uid", "resourceVersion"):
            if field in metadata and metadata[field] != present["metadata"][field]:
                raise Conflict(f"{field} differs")
        if subresource == "resize":
            wanted = resized(present, patch)
            if refused := self.deny(kind, wanted):
                raise Denied(refused)
        elif kind in {NODE, POD} and subresource:
            new = {item["type"]: stored(item) for item in patch["status"]["conditions"]}
            status = wanted.setdefault("status", {})
            old = {item["type"]: item for item in status.get("conditions") or []}
            status["conditions"] = list((old | new).values())
        else:
            merge_patch(wanted, patch)
        return copy.deepcopy(self._save(kind, key, wanted))

    async def replace(self, kind: Kind, body: Body) -> Body:
        await self._enter("replace", kind, body["metadata"]["name"])
        key = Key(body["metadata"].get("namespace", ""), body["metadata"]["name"])
        present = self.objects.get((kind, key))
        if present is None:
            raise Absent(key.name)
        if body["metadata"].get("resourceVersion") != present["metadata"]["resourceVersion"]:
            raise Conflict("resourceVersion differs")
        return copy.deepcopy(self._save(kind, key, copy.deepcopy(body)))

    async def delete(self, kind: Kind, key: Key, uid: str, grace: int | None = None) -> Body | None:
        await self._enter("delete", kind, key.name)
        present = self.objects.get((kind, key))
        if present is None:
            raise Absent(key.name)
        if uid != present["metadata"]["uid"]:
            raise Conflict("uid differs")
        return self.remove(kind, key, grace)

    # What the rest of the cluster does: no write of the controller.

    def make(self, kind: Kind, body: Body) -> Body:
        """Anybody creates an object."""
        metadata = body["metadata"]
        key = Key(metadata.get("namespace", ""), metadata["name"])
        if (kind, key) in self.objects:
            raise Conflict(f"{key.name} already exists")
        wanted = copy.deepcopy(body)
        wanted["metadata"] |= {
            "uid": f"uid-{next(self._uid)}",
            "generation": 1,
            "creationTimestamp": self.now(),
        }
        note_writer({}, wanted, self.now())
        if kind == POD:
            set_defaults(wanted)
        return self._write(kind, key, wanted, "ADDED")

    def change(self, kind: Kind, key: Key, patch: Mapping[str, Any]) -> Body:
        """Anybody merge-patches an object, status included."""
        wanted = copy.deepcopy(self.objects[kind, key])
        merge_patch(wanted, patch)
        return self._save(kind, key, wanted)

    def remove(self, kind: Kind, key: Key, grace: int | None = None) -> Body | None:
        """Anybody deletes an object; what stays for a while is returned."""
        present = self.objects[kind, key]
        metadata = present["metadata"]
        waits = bool(metadata.get("finalizers"))
        if kind == POD and present["spec"].get("nodeName") and grace != 0:
            waits = True
        if not waits:
            self.forget(kind, key)
            return None
        if "deletionTimestamp" not in metadata:
            wanted = copy.deepcopy(present)
            wanted["metadata"]["deletionTimestamp"] = STARTED
            present = self._write(kind, key, wanted, "MODIFIED")
        return copy.deepcopy(present)

    def forget(self, kind: Kind, key: Key) -> None:
        """The object is gone."""
        body = self.objects.pop((kind, key))
        body["metadata"]["resourceVersion"] = str(next(self._revision))
        self._tell((kind, "DELETED", copy.deepcopy(body)))

    def collect_garbage(self) -> bool:
        """Removes what has owners that are all gone; says whether there was any."""
        alive = {body["metadata"]["uid"] for body in self.objects.values()}
        found = False
        for (kind, key), body in list(self.objects.items()):
            owners = body["metadata"].get("ownerReferences") or []
            gone = owners and all(owner["uid"] not in alive for owner in owners)
            if gone and "deletionTimestamp" not in body["metadata"]:
                self.remove(kind, key)
                found = True
        return found

    def all(self, kind: Kind) -> Bodies:
        """Every object of a kind, as it is stored."""
        return [body for (one, _), body in list(self.objects.items()) if one == kind]

    async def _enter(self, verb: str, kind: Kind | None = None, name: str = "") -> None:
        if self.before:
            await self.before(verb)
        if kind:
            self.writes.append((verb, kind.kind, name))

    def _save(self, kind: Kind, key: Key, wanted: Body) -> Body:
        present = self.objects[kind, key]
        if same(present, wanted):
            return present
        note_writer(present, wanted, self.now())
        if present.get("spec") != wanted.get("spec"):
            wanted["metadata"]["generation"] = present["metadata"].get("generation", 0) + 1
        metadata = wanted["metadata"]
        if "deletionTimestamp" in metadata and not metadata.get("finalizers") and kind != POD:
            self.objects[kind, key] = wanted
            self.forget(kind, key)
            return wanted
        return self._write(kind, key, wanted, "MODIFIED")

    def _write(self, kind: Kind, key: Key, wanted: Body, change: str) -> Body:
        wanted["metadata"]["resourceVersion"] = str(next(self._revision))
        self.objects[kind, key] = wanted
        self._tell((kind, change, copy.deepcopy(wanted)))
        return wanted

    def _tell(self, change: Change) -> None:
        for watcher in self.watchers:
            watcher(change)


def same(one: Body, other: Body) -> bool:
    """Equal but for the revision."""
    first, second = copy.deepcopy(one), copy.deepcopy(other)
    for body in (first, second):
        body["metadata"].pop("resourceVersion", None)
    return first == second


def selects(selector: str, body: Body) -> bool:
    """`a=b` and `a`, joined by commas."""
    labels = body["metadata"].get("labels") or {}
    for term in filter(None, selector.split(",")):
        name, has_value, value = term.partition("=")
        if name not in labels or (has_value and labels[name] != value):
            return False
    return True
