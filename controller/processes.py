"""The steps of `apply` that stop and start a command while its pod stays, and resize the pod."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, assert_never

from controller import manifests
from controller.doors import StopOrder
from controller.errors import Absent, Conflict, Rejected
from controller.model import POD, Process
from controller.steps import ResizePod, StartProcess, StopProcess, TellPod
from controller.supervision import hook_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from controller.doors import AgentsDoor, KubeDoor
    from controller.model import Body, Key
    from controller.store import Store

DEFAULT_GRACE_SECONDS = 30
LONGEST_GRACE_SECONDS = 24 * 60 * 60


class ProcessSteps:
    """Carries them out."""

    def __init__(
        self, kube: KubeDoor, agents: AgentsDoor, store: Store, clock: Callable[[], datetime]
    ) -> None:
        self._kube, self._agents, self._store, self._clock = kube, agents, store, clock

    async def apply(self, step: StartProcess | StopProcess | TellPod | ResizePod, key: Key) -> None:
        """One step; `key` is the consumer pod's."""
        match step:
            case StartProcess():
                await self._start(step, key)
            case StopProcess():
                # The pod leaves its Services while the command ends, as a deleted one would.
                told = asyncio.create_task(self._tell(key, step.pod, running=False))
                try:
                    await self._stop(step, key)
                finally:
                    await told
            case TellPod():
                await self._tell(key, step.uid, running=step.running, ready=step.ready)
            case ResizePod():
                await self._resize(step, key)
            case _:
                assert_never(step)

    async def _start(self, step: StartProcess, key: Key) -> None:
        container = self._spec(key, step.pod)["containers"][0]
        hook = tuple(hook_command(container, "postStart"))
        root = await self._agents.start_process(step.node, step.root, step.pod, hook)
        self._store.put_root(step.node, root)

    async def _stop(self, step: StopProcess, key: Key) -> None:
        spec = self._spec(key, step.pod)
        grace = spec.get("terminationGracePeriodSeconds")
        seconds = DEFAULT_GRACE_SECONDS if grace is None else int(grace)
        order = StopOrder(
            uid=step.root,
            pod_uid=step.pod,
            grace_ms=min(seconds, LONGEST_GRACE_SECONDS) * 1000,
            pre_stop=tuple(hook_command(spec["containers"][0], "preStop")),
            freeze=step.freeze,
        )
        root = await self._agents.stop_process(step.node, order)
        self._store.put_root(step.node, root)
        if root.process in {Process.RUNNING, Process.STARTING}:
            raise Conflict("the command was started again while it was being stopped")

    async def _tell(self, key: Key, uid: str, *, running: bool, ready: bool = False) -> None:
        present = self._store.get(POD, key)
        if present is None or present["metadata"]["uid"] != uid:
            return
        at = self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        patch = manifests.told(uid, running=running, ready=ready, at=at)
        try:
            self._store.put(POD, await self._kube.patch(POD, key, patch, subresource="status"))
        except Absent:
            # Its own event brings the next look.
            return

    async def _resize(self, step: ResizePod, key: Key) -> None:
        container = self._spec(key, step.uid)["containers"][0]["name"]
        patch = manifests.resized(step.uid, container, dict(step.requests))
        try:
            self._store.put(POD, await self._kube.patch(POD, key, patch, subresource="resize"))
        except Absent as error:
            # Before Kubernetes 1.33 there is no such thing, and asking again soon would not help.
            # A pod that is gone takes this failure with it.
            raise Rejected(str(error)) from error

    def _spec(self, key: Key, uid: str) -> Body:
        """The pod as it was made, whatever the template says by now."""
        pod = self._store.get(POD, key)
        if pod is None or pod["metadata"]["uid"] != uid:
            raise Conflict(f"pod {key.name} is another one by now")
        spec: Body = pod["spec"]
        return spec
