"""One key: observe, plan, apply, report, until the plan is empty. Every source of change ends here.

Called by the `queue`'s workers on the leader; answers in how many seconds the key must be looked at
again.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from controller import metrics, timeline
from controller.announce import Announcement
from controller.apply import Apply
from controller.crowd import Crowd
from controller.errors import ControllerError, LeaseLost
from controller.memory import Memory
from controller.model import POD, SC, Key, Observed, Role
from controller.observe import observe
from controller.plan import plan
from controller.queue import delay
from controller.report import Report
from controller.status import proven_running
from controller.steps import (
    CreatePod,
    DeleteRoot,
    MirrorInstance,
    ReadSources,
    RemoveFinalizer,
    ReplacePod,
    ResizePod,
    step_name,
)
from controller.stopwatch import Stopwatch
from controller.store import key_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from controller.announce import EventLog
    from controller.doors import AgentsDoor, KubeDoor
    from controller.model import Body, Kind
    from controller.steps import Step
    from controller.store import Store

log = logging.getLogger(__name__)
# From a new object to its first wait takes five rounds; more than this is a loop.
MAX_ROUNDS = 20


class Reconciler:
    """Holds the memories; everything else is passed through."""

    def __init__(
        self,
        kube: KubeDoor,
        agents: AgentsDoor,
        store: Store,
        events: EventLog,
        *,
        may_act: Callable[[], bool],
        monotonic: Callable[[], float],
        clock: Callable[[], datetime],
        wall: Callable[[], int],
    ) -> None:
        self._store, self._events = store, events
        self._may_act, self._monotonic, self._clock = may_act, monotonic, clock
        self._apply = Apply(kube, agents, store, may_act, clock)
        self._stopwatch = Stopwatch(wall)
        self._report = Report(kube, store, events, clock, self._stopwatch)
        self._memories: dict[Key, Memory] = {}
        self._crowd = Crowd()

    def news(self, kind: Kind, before: Body | None, after: Body | None) -> None:
        """The store knows something new: only its time is taken here, the queue brings the look."""
        if kind not in {SC, POD} or not self._may_act():
            return
        body = after or before
        if body is None:
            return
        key = key_of(body)
        if kind == POD:
            # The container's pod has its name.
            memory = self._memories.get(key)
            if memory and memory.going:
                self._stopwatch.pod(memory.going, before, after)
        elif after and (turn := timeline.turn_of(before, after)):
            self._remember(key, str(after["metadata"]["uid"])).going = self._stopwatch.begin(turn)
            self._crowd.begins(key, self._monotonic())

    async def reconcile(self, key: Key) -> float | None:
        """Brings this key as far as it goes now."""
        if not self._may_act():
            return None
        memory = self._memory(key)
        if memory is None:
            self._crowd.forget(key)
            return None
        # Observing is most of what a look costs: done again only where something may differ.
        seen = self._observe(key, memory)
        if await self._report.retract(seen, self._monotonic()):
            seen = self._observe(key, memory)
        late: tuple[Step, ...] = ()
        for _ in range(MAX_ROUNDS):
            steps = plan(seen)
            late = tuple(step for step in steps if is_late(step, seen))
            if steps == late:
                break
            await self._carry_out(tuple(x for x in steps if x not in late), seen, memory, key)
            seen = self._observe(key, memory)
        if memory.problems or memory.replaced:
            self._forget_solved(seen, memory)
            seen = self._observe(key, memory)
        before = self._store.get(SC, key)
        waits = [await self._report.report(seen, memory, self._monotonic())]
        if memory.going is None:
            self._crowd.ends(key)
        if not late and self._store.get(SC, key) is not before:
            seen = self._observe(key, memory)
        waits.append(await self._read(late, seen, memory, key))
        if aside := self._crowd.wait(key, self._monotonic()):
            waits.append(aside)
        else:
            await self._unhurried(late, seen, memory, key)
        waits.append(memory.next_look(self._monotonic()))
        return min((one for one in waits if one is not None), default=None)

    async def _read(
        self, late: tuple[Step, ...], seen: Observed, memory: Memory, key: Key
    ) -> float | None:
        """What was read is news that no event brings; known early, it saves a status write."""
        reads = tuple(step for step in late if isinstance(step, ReadSources))
        if not reads:
            return None
        await self._carry_out(reads, seen, memory, key)
        return await self._report.report(self._observe(key, memory), memory, self._monotonic())

    async def _unhurried(
        self, late: tuple[Step, ...], seen: Observed, memory: Memory, key: Key
    ) -> None:
        """What nobody waits for."""
        copies = tuple(step for step in late if isinstance(step, MirrorInstance))
        await self._carry_out(copies, seen, memory, key)
        if late:
            seen = self._observe(key, memory)
        await self._report.mirror(seen)
        if any(is_last(step) for step in late):
            await self._carry_out_last(late, memory, key)

    async def _carry_out_last(self, late: tuple[Step, ...], memory: Memory, key: Key) -> None:
        """What must not come between a start or stop and its end: looked at once more before."""
        seen = self._observe(key, memory)
        wanted = plan(seen)
        if all(is_late(step, seen) for step in wanted):
            await self._carry_out(
                tuple(x for x in late if is_last(x) and x in wanted), seen, memory, key
            )

    async def _carry_out(
        self, steps: tuple[Step, ...], seen: Observed, memory: Memory, key: Key
    ) -> None:
        """All steps of one plan.

        The first failure ends it, for what follows may need what failed.
        """
        for step in steps:
            name, now = step_name(step), self._monotonic()
            try:
                await self._apply.apply(step, seen, memory, now)
            except LeaseLost:
                raise
            except ControllerError as error:
                metrics.step_failed(type(step).__name__, error.reason)
                wait = delay(error, memory.tries(name) + 1)
                log.info("%s/%s: %s: %s", key.namespace, key.name, name, error)
                memory.fail(name, error.reason, str(error), wait, self._monotonic())
                return
            metrics.step_done(type(step).__name__)
            if memory.going:
                self._stopwatch.done(memory.going, step)
            memory.problems.pop(name, None)
            said = worth_saying(step, seen)
            if said and seen.parent:
                at = self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")
                await self._events.post(key, seen.parent.uid, said, at=at, now=now)
            if isinstance(step, CreatePod) and step.role is Role.CONSUMER:
                # The pod's uid came with the answer, so the facts that follow are new ones.
                seen = self._observe(key, memory)

    def _observe(self, key: Key, memory: Memory) -> Observed:
        seen = observe(self._store, memory, key, self._monotonic())
        if memory.going:
            self._stopwatch.look(memory.going, seen)
        return seen

    def _memory(self, key: Key) -> Memory | None:
        """The memory of the object that has this name now."""
        body = self._store.get(SC, key)
        if body is None:
            self._memories.pop(key, None)
            return None
        uid, generation = str(body["metadata"]["uid"]), int(body["metadata"].get("generation") or 0)
        memory = self._remember(key, uid)
        if memory.generation != generation:
            # The user changed something: whatever was refused before may be right now.
            memory.generation = generation
            memory.problems = {
                name: replace(one, until=0.0) for name, one in memory.problems.items()
            }
        return memory

    def _remember(self, key: Key, uid: str) -> Memory:
        memory = self._memories.get(key)
        if memory is None or memory.uid != uid:
            memory = self._memories[key] = Memory(uid=uid)
        return memory

    def _forget_solved(self, seen: Observed, memory: Memory) -> None:
        """A failure counts only while its step is still wanted."""
        wanted = {step_name(step) for step in plan(replace(seen, held=frozenset()))}
        memory.problems = {name: one for name, one in memory.problems.items() if name in wanted}
        if seen.parent and proven_running(seen, seen.parent):
            memory.replaced.pop(Role.CONSUMER, None)
        if seen.provider and seen.provider.container.running:
            memory.replaced.pop(Role.PROVIDER, None)


def is_late(step: Step, seen: Observed) -> bool:
    """What nobody waits for.

    The instance's copy of a spec whose node is on record already, and what only a condition says.
    """
    if is_last(step) or isinstance(step, ReadSources):
        return True
    known = seen.instance.node if seen.instance and seen.instance.ours else ""
    return isinstance(step, MirrorInstance) and bool(known) and step.node == known


def is_last(step: Step) -> bool:
    """What may wait until everybody knows how it is."""
    return isinstance(step, ResizePod)


def worth_saying(step: Step, seen: Observed) -> Announcement | None:
    """What a person wants to hear about a step itself; pure."""
    if isinstance(step, ReplacePod):
        return Announcement("Normal", "PodReplaced", f"{step.role} pod replaced: {step.why}")
    if isinstance(step, DeleteRoot) and step.why:
        return Announcement("Normal", "OldRootDeleted", f"root {step.root} deleted: {step.why}")
    if isinstance(step, RemoveFinalizer) and seen.home and not seen.home_exists:
        note = f"node {seen.home} no longer exists: the root is considered gone with it"
        return Announcement("Warning", "RootGone", note)
    return None
