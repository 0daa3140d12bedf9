"""The third of the four.

Does the steps of a plan, one after the other, and tells the store each answer at once.

Called by `reconcile`; decides nothing. A step that fails raises one of `errors`.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from controller import manifests, names
from controller.doors import Admission, RootOrder
from controller.errors import Absent, Conflict, LeaseLost, NameTaken
from controller.images import provider_image
from controller.model import POD, SC, SCI, Key, Place, Role
from controller.pods import is_supervised
from controller.processes import ProcessSteps
from controller.sources import read_sources
from controller.steps import (
    AddFinalizer,
    AdmitPod,
    CleanInstance,
    CreatePod,
    DeleteInstance,
    DeletePod,
    DeleteRoot,
    EnsureRoot,
    MirrorInstance,
    ReadSources,
    RemoveFinalizer,
    ReplacePod,
    ResizePod,
    StartProcess,
    StopProcess,
    SyncRoot,
    TellPod,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from controller.doors import AgentsDoor, KubeDoor
    from controller.memory import Memory
    from controller.model import Body, Kind, Observed, Parent, Template
    from controller.steps import Step
    from controller.store import Store

log = logging.getLogger(__name__)


class Apply:
    """Carries out steps; `may_act` is asked before each."""

    def __init__(
        self,
        kube: KubeDoor,
        agents: AgentsDoor,
        store: Store,
        may_act: Callable[[], bool],
        clock: Callable[[], datetime],
    ) -> None:
        self._kube, self._agents, self._store, self._may_act = kube, agents, store, may_act
        self._process = ProcessSteps(kube, agents, store, clock)

    async def apply(self, step: Step, seen: Observed, memory: Memory, now: float) -> None:
        """One step; what it was planned from comes along."""
        parent = seen.parent
        if parent is None:
            return
        if not self._may_act():
            raise LeaseLost("another controller has the lease")
        log.info("%s/%s: %s", parent.namespace, parent.name, step)
        match step:
            case AddFinalizer():
                body = manifests.finalizer(parent, present=True)
                self._store.put(SC, await self._kube.apply(SC, body))
            case RemoveFinalizer():
                await self._remove_finalizer(parent)
            case MirrorInstance():
                await self._mirror(parent, seen, step.node)
            case DeleteInstance():
                await self._delete(SCI, Key(parent.namespace, parent.name), step.uid)
            case CleanInstance():
                await self._clean_instance(parent, step.uid)
            case CreatePod():
                await self._create_pod(parent, seen, step.role)
            case DeletePod():
                await self._delete(POD, _pod_key(parent, step.role), step.uid)
                memory.cold_reason = step.why or memory.cold_reason
            case StartProcess() | StopProcess() | TellPod() | ResizePod():
                await self._process.apply(step, _pod_key(parent, Role.CONSUMER))
            case ReplacePod():
                # A command that never ran needs no time to end.
                grace = 0 if step.now else None
                await self._delete(POD, _pod_key(parent, step.role), step.uid, grace)
                memory.replace(step.role, now)
                memory.cold_reason = step.why
            case AdmitPod():
                await self._admit(parent, seen, step, memory)
            case EnsureRoot():
                await self._ensure_root(parent, step)
            case SyncRoot():
                self._store.put_root(step.node, await self._agents.sync(step.node, step.root))
            case DeleteRoot():
                await self._agents.delete_root(step.node, step.root)
                memory.deleted.add(Place(step.node, step.root))
                self._store.drop_root(step.node, step.root)
            case ReadSources():
                if seen.consumer:
                    pod = seen.consumer
                    memory.sources = await read_sources(self._kube, parent.namespace, pod)
            case _:
                assert_never(step)

    async def _ensure_root(self, parent: Parent, step: EnsureRoot) -> None:
        order = RootOrder(
            uid=step.root,
            namespace=parent.namespace,
            name=parent.name,
            image=_template(parent).image,
            image_id=step.image_id,
        )
        self._store.put_root(step.node, await self._agents.ensure_root(step.node, order))

    async def _remove_finalizer(self, parent: Parent) -> None:
        key = Key(parent.namespace, parent.name)
        await self._take_off(SC, key, parent.uid, names.FINALIZER)

    async def _clean_instance(self, parent: Parent, uid: str) -> None:
        key = Key(parent.namespace, parent.name)
        await self._take_off(SCI, key, uid, names.LEGACY_INSTANCE_FINALIZER)

    async def _take_off(self, kind: Kind, key: Key, uid: str, finalizer: str) -> None:
        body = self._store.get(kind, key)
        if body is None:
            return
        metadata = body["metadata"]
        # The others' finalizers stay; the revision makes sure that none was added in between.
        patch = {
            "metadata": {
                "uid": uid,
                "resourceVersion": metadata.get("resourceVersion"),
                "finalizers": [one for one in metadata["finalizers"] if one != finalizer],
            }
        }
        try:
            answer = await self._kube.patch(kind, key, patch)
        except Absent:
            self._store.drop(kind, body)
        else:
            gone = "deletionTimestamp" in answer["metadata"] and not patch["metadata"]["finalizers"]
            if gone:
                self._store.drop(kind, answer)
            else:
                self._store.put(kind, answer)

    async def _mirror(self, parent: Parent, seen: Observed, node: str) -> None:
        if seen.instance:
            body = manifests.instance(parent, node, seen.instance.uid)
            self._store.put(SCI, await self._kube.apply(SCI, body))
            return
        # An apply would take over an instance that somebody else has just made.
        taken = await self._kube.get(SCI, Key(parent.namespace, parent.name))
        if taken:
            self._store.put(SCI, taken)
            raise Conflict(f"StoppableContainerInstance {parent.name} appeared")
        body = manifests.instance(parent, node)
        self._store.put(SCI, await self._kube.apply(SCI, body, force=False))

    async def _create_pod(self, parent: Parent, seen: Observed, role: Role) -> None:
        template, instance = _template(parent), seen.instance
        if instance is None:
            return
        if role is Role.PROVIDER:
            image = provider_image(seen, parent)
            body = manifests.provider(parent, template, instance.uid, seen.home, image)
        elif seen.root is None:
            return
        else:
            body = manifests.consumer(parent, template, instance.uid, seen.home, seen.root)
        try:
            made = await self._kube.create(POD, body)
        except Conflict:
            await self._look_who_has_the_name(_pod_key(parent, role))
        else:
            self._store.put(POD, made)

    async def _look_who_has_the_name(self, key: Key) -> None:
        body = await self._kube.get(POD, key)
        labels = (body["metadata"].get("labels") or {}) if body else {}
        if body is None or labels.get(names.MANAGED_BY_LABEL) == names.MANAGED_BY:
            if body:
                self._store.put(POD, body)
            raise Conflict(f"pod {key.name} appeared")
        # A pod without our label is not watched, so it must not enter the store: it would stay for
        # ever.
        raise NameTaken(
            f"pod {key.name} belongs to something else and is not touched: delete or rename it"
        )

    async def _delete(self, kind: Kind, key: Key, uid: str, grace: int | None = None) -> None:
        body = self._store.get(kind, key)
        try:
            left = await self._kube.delete(kind, key, uid, grace)
        except Absent:
            left = None
        if left is not None:
            self._store.put(kind, left)
        elif body is not None and body["metadata"]["uid"] == uid:
            self._store.drop(kind, body)

    async def _admit(self, parent: Parent, seen: Observed, step: AdmitPod, memory: Memory) -> None:
        template, role, node = _template(parent), step.role, step.node
        pod = self._store.get(POD, _pod_key(parent, role))
        if pod is None:
            return
        uid, is_consumer = pod["metadata"]["uid"], role is Role.CONSUMER
        # The consumer's is the root that it was made for; the image of the provider is any root's.
        if is_consumer and seen.consumer and seen.consumer.root:
            root_id = seen.consumer.root
        else:
            root_id = seen.root.uid if seen.root else parent.uid
        # What runs is the pod as it was made, also when the template has changed since.
        guard_only = len(pod["spec"]["containers"][0].get("command") or []) <= 1
        has_args = bool(pod["spec"]["containers"][0].get("args"))
        admission = Admission(
            root_uid=root_id,
            role=role,
            namespace=parent.namespace,
            pod_name=pod["metadata"]["name"],
            pod_uid=uid,
            container=pod["spec"]["containers"][0]["name"],
            init=template.init if is_consumer else False,
            entrypoint_from_image=is_consumer and guard_only,
            cmd_from_image=is_consumer and guard_only and not has_args,
            gid_from_root=is_consumer and not _has(pod, "runAsGroup"),
            groups_from_root=is_consumer and not _has(pod, "supplementalGroupsPolicy", "Strict"),
            supervise=is_consumer and is_supervised(pod["spec"]),
        )
        await self._agents.admit(node, admission)
        word = self._store.word(node)
        if word is None:
            return
        memory.admitted = {**memory.admitted, uid: word.session}
        root = word.roots.get(root_id)
        if root and is_consumer:
            self._store.put_root(node, replace(root, admitted_consumer=uid))
        elif root:
            self._store.put_root(node, replace(root, admitted_provider=uid))


def _has(pod: Body, field: str, value: str = "") -> bool:
    """Whether the first container, or its pod, has a field of the security context."""
    spec = pod["spec"]
    for where in (spec["containers"][0], spec):
        found = (where.get("securityContext") or {}).get(field)
        if found is not None:
            return not value or found == value
    return False


def _pod_key(parent: Parent, role: Role) -> Key:
    return Key(parent.namespace, manifests.pod_name(parent.name, role))


def _template(parent: Parent) -> Template:
    if parent.template is None:
        raise Conflict("the template became invalid")
    return parent.template
