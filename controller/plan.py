"""What to do next for one StoppableContainer: facts in, steps out; `apply` does them in order.

Invariants, true at every prefix of every plan:
- a consumer is created only when the agent's current word says: mounted, free, no problem;
- a root is asked for only on the node that the instance records, and never where data was lost;
- data is deleted only while the parent is being deleted, after both pods are gone, or where the
  user asked for a new root and the container has started on it;
- nothing that is not ours by uid is touched.
A plan cut after any step and made again gives the rest. An empty plan: done, or wait for the world.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.choices import ImageChangePolicy, UpdatePolicy
from controller.images import (
    image_changed,
    image_on_node,
    lost_data,
    outdated_provider,
    wants_reset,
)
from controller.inplace import read_steps, resize_steps, start_steps, stop_steps, thaw
from controller.manifests import instance_spec
from controller.model import Place, Role
from controller.pods import FAILURES
from controller.roots import next_id, superseded
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
    RemoveFinalizer,
    ReplacePod,
    SyncRoot,
    step_name,
)
from controller.template import digest
from controller.verdicts import failed_at_guard, is_finished, must_run_again

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controller.model import Instance, Observed, Parent, Pod
    from controller.steps import Step


def plan(seen: Observed) -> tuple[Step, ...]:
    """The steps that are possible now, in a safe order."""
    parent = seen.parent
    if parent is None:
        return ()
    instance = seen.instance
    if instance and instance.ours and instance.legacy_finalizer:
        return tuple(_until_held(iter((CleanInstance(instance.uid),)), seen))
    if parent.deleting:
        return tuple(_until_held(_release(seen, parent), seen))
    if parent.template is None:
        return ()
    if instance is None:
        return tuple(_until_held(_begin(seen, parent), seen))
    if not instance.ours or instance.deleting:
        return ()
    chains = (
        _finalizer(parent),
        _consumer(seen, parent),
        _mirror(seen, parent, instance),
        _provider(seen, parent),
        _root(seen, parent, instance),
        _old_roots(seen, parent),
        read_steps(seen, parent),
        resize_steps(seen, parent),
    )
    return tuple(step for chain in chains for step in _until_held(chain, seen))


def _until_held(steps: Iterator[Step], seen: Observed) -> Iterator[Step]:
    """Later steps of a chain need the earlier ones, so the first one in back-off ends it."""
    for step in steps:
        if step_name(step) in seen.held:
            return
        yield step


def _finalizer(parent: Parent) -> Iterator[Step]:
    if not parent.finalized:
        yield AddFinalizer()


def _begin(seen: Observed, parent: Parent) -> Iterator[Step]:
    yield from _finalizer(parent)
    # An instance that came without its node would go to any node; whoever has the root must speak
    # first.
    if seen.home or seen.agents_settled or not parent.status:
        yield MirrorInstance(seen.home)


def _mirror(seen: Observed, parent: Parent, instance: Instance) -> Iterator[Step]:
    if dict(instance.spec) != instance_spec(parent, seen.home):
        yield MirrorInstance(seen.home)


def _consumer(seen: Observed, parent: Parent) -> Iterator[Step]:
    pod, root = seen.consumer, seen.root
    if pod is None:
        if parent.running and may_start(seen, parent):
            yield CreatePod(Role.CONSUMER)
            yield AdmitPod(Role.CONSUMER, seen.home)
        elif not parent.running and root and needs_sync(seen):
            yield SyncRoot(seen.home, root.uid)
    elif pod.deleting or pod.foreign:
        yield from thaw(seen, pod)
    elif pod.left:
        yield DeletePod(Role.CONSUMER, pod.uid)
    elif not parent.running:
        yield from stop_steps(seen, parent, pod)
    elif must_run_again(pod):
        yield ReplacePod(Role.CONSUMER, pod.uid, "it ended without the command's doing", now=False)
    elif takes_template_now(seen, parent, pod):
        yield ReplacePod(Role.CONSUMER, pod.uid, "the template changed", now=False)
    elif is_finished(pod):
        if root and needs_sync(seen):
            yield SyncRoot(seen.home, root.uid)
    elif not _is_admitted(seen, pod, Role.CONSUMER):
        if seen.agent.usable and root and root.mounted and not root.held:
            yield AdmitPod(Role.CONSUMER, seen.home)
    elif failed_at_guard(pod) and may_start(seen, parent):
        yield ReplacePod(Role.CONSUMER, pod.uid, "the node agent was away at its start", now=True)
    else:
        yield from start_steps(seen, parent, pod)


def _provider(seen: Observed, parent: Parent) -> Iterator[Step]:
    pod = seen.provider
    if pod is None:
        if seen.home_exists or not seen.home:
            yield CreatePod(Role.PROVIDER)
    elif pod.deleting or pod.foreign:
        return
    elif pod.left or (pod.node and seen.home and pod.node != seen.home):
        yield DeletePod(Role.PROVIDER, pod.uid)
    elif pod.phase in {"Failed", "Succeeded"}:
        yield ReplacePod(Role.PROVIDER, pod.uid, f"it ended: {pod.reason or pod.phase}", now=False)
    elif outdated_provider(seen, parent, pod):
        yield ReplacePod(Role.PROVIDER, pod.uid, "the template changed", now=False)
    elif pod.has_claims and seen.root:
        why = "it named volume claims only to be placed by them"
        yield ReplacePod(Role.PROVIDER, pod.uid, why, now=False)
    elif pod.node and not _is_admitted(seen, pod, Role.PROVIDER):
        if seen.agent.usable:
            yield AdmitPod(Role.PROVIDER, pod.node)
    elif failed_at_guard(pod) and seen.agent.usable:
        yield ReplacePod(Role.PROVIDER, pod.uid, "the node agent was away at its start", now=True)


def _root(seen: Observed, parent: Parent, instance: Instance) -> Iterator[Step]:
    if not seen.home or not seen.agent.usable or instance.node not in {"", seen.home}:
        return
    image_id = image_on_node(seen, parent)
    if seen.root is None:
        if image_id and not lost_data(seen):
            yield EnsureRoot(seen.home, next_id(parent.uid, ()), image_id)
    elif not seen.root.mounted:
        yield EnsureRoot(seen.home, seen.root.uid, "")
    elif wants_reset(seen, parent) and parent.running and image_id and _is_idle(seen):
        yield EnsureRoot(seen.home, next_id(parent.uid, seen.roots), image_id)


def _old_roots(seen: Observed, parent: Parent) -> Iterator[Step]:
    """Kept until the container has started on the new one."""
    if parent.image_change_policy is not ImageChangePolicy.RESET or not seen.agent.usable:
        return
    if not has_started(seen, parent):
        return
    for root in superseded(seen):
        yield DeleteRoot(seen.home, root.uid, "the container has started on its new root")


def _release(seen: Observed, parent: Parent) -> Iterator[Step]:
    if not parent.finalized:
        return
    pods = [(Role.CONSUMER, seen.consumer), (Role.PROVIDER, seen.provider)]
    present = [(role, pod) for role, pod in pods if pod and not pod.foreign]
    for role, pod in present:
        yield from thaw(seen, pod)
        if not pod.deleting:
            yield DeletePod(role, pod.uid)
    if present:
        return
    at_home = {Place(seen.home, parent.uid)} if seen.home and seen.home_exists else frozenset()
    left = sorted((seen.places | at_home) - seen.deleted)
    if left and seen.agent.connected:
        yield from (DeleteRoot(place.node, place.root) for place in left)
    elif left:
        return
    if seen.instance and seen.instance.ours and not seen.instance.deleting:
        yield DeleteInstance(seen.instance.uid)
    elif seen.instance and seen.instance.ours:
        return
    yield RemoveFinalizer()


def may_start(seen: Observed, parent: Parent) -> bool:
    """The agent's current word: this root is mounted, whole and free, and no other is lived on."""
    root = seen.root
    return (
        seen.agent.usable
        and root is not None
        and root.mounted
        and not any(one.held for one in seen.roots)
        and not root.problem_reason
        and not lost_provider_name(seen)
        and not wants_reset(seen, parent)
        and not already_finished(seen, parent)
    )


def has_started(seen: Observed, parent: Parent) -> bool:
    """The container has come up on the root that counts; a failed start is none."""
    pod, root = seen.consumer, seen.root
    if pod is None or not pod.ours or pod.deleting or root is None or pod.root != root.uid:
        return False
    if is_finished(pod):
        return pod.container.exit_code == 0
    return pod.ready and pod.container.running and root.holder == pod.uid and parent.running


def already_finished(seen: Observed, parent: Parent) -> bool:
    """It was run, and somebody removed the pod that told so: not run again unasked."""
    if seen.consumer is not None or not parent.running or parent.template is None:
        return False
    finished = parent.status.get("finished") or {}
    return bool(finished) and finished.get("templateHash") == digest(parent.template)


def takes_template_now(seen: Observed, parent: Parent, pod: Pod) -> bool:
    """The pod is an old template's, and nothing is lost by making it anew.

    Either the policy says so, or its container does not run and waits to be tried again.
    """
    if parent.template is None:
        return False
    new_image = image_changed(seen, parent) and wants_reset(seen, parent)
    if pod.template_hash == digest(parent.template) and not new_image:
        return False
    if new_image and not image_on_node(seen, parent):
        return False
    if parent.update_policy is UpdatePolicy.RESTART:
        return True
    waits = pod.container.waiting_reason in FAILURES or bool(
        pod.trouble or pod.unschedulable or pod.gated
    )
    return waits and not pod.container.running and not is_finished(pod)


def _is_idle(seen: Observed) -> bool:
    """No pod and no process is on any of the roots."""
    return seen.consumer is None and not any(root.held for root in seen.roots)


def lost_provider_name(seen: Observed) -> bool:
    """Somebody else's pod stands where the provider must be."""
    return seen.provider is not None and seen.provider.foreign


def needs_sync(seen: Observed) -> bool:
    """The last container is gone and what it wrote is not yet known to be on disk."""
    root = seen.root
    return bool(
        root and seen.agent.connected and root.mounted and not root.held and not root.synced
    )


def _is_admitted(seen: Observed, pod: Pod, role: Role) -> bool:
    root = seen.root
    if root is None:
        return role is Role.PROVIDER and pod.uid in seen.admitted
    if role is Role.PROVIDER:
        return pod.uid == root.admitted_provider
    return pod.uid in {root.admitted_consumer, root.holder}
