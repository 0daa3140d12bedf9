"""What to do next for one StoppableContainer: facts in, steps out; `apply` does them in order.

Invariants, true at every prefix of every plan:
- a consumer is created only when the agent's current word says: mounted, free, no problem;
- a root is asked for only on the node that the instance records, and never where data was lost;
- data is deleted only while the parent is being deleted, after both pods are gone;
- nothing that is not ours by uid is touched.
A plan cut after any step and made again gives the rest. An empty plan: done, or wait for the world.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller import names
from controller.manifests import instance_spec
from controller.model import Role
from controller.steps import (
    AddFinalizer,
    AdmitPod,
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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controller.model import Instance, Observed, Parent, Pod
    from controller.steps import Step

# Kubelet's words for a container that never came to run, in which the agent's refusals arrive.
REFUSED = frozenset({"CreateContainerError", "RunContainerError", "StartError"})


def plan(seen: Observed) -> tuple[Step, ...]:
    """The steps that are possible now, in a safe order."""
    parent = seen.parent
    if parent is None:
        return ()
    if parent.deleting:
        return tuple(_until_held(_release(seen, parent), seen))
    if parent.template is None:
        return ()
    instance = seen.instance
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
        if parent.running and may_start(seen):
            yield CreatePod(Role.CONSUMER)
            yield AdmitPod(Role.CONSUMER, seen.home)
        elif not parent.running and root and needs_sync(seen):
            yield SyncRoot(seen.home)
    elif pod.deleting or pod.foreign:
        return
    elif pod.left or not parent.running:
        yield DeletePod(Role.CONSUMER, pod.uid)
    elif must_run_again(pod):
        yield ReplacePod(Role.CONSUMER, pod.uid, "it ended without the command's doing", now=False)
    elif not _is_admitted(seen, pod, Role.CONSUMER):
        if seen.agent.usable and root and root.mounted and not root.held:
            yield AdmitPod(Role.CONSUMER, seen.home)
    elif failed_at_guard(pod) and may_start(seen):
        yield ReplacePod(Role.CONSUMER, pod.uid, "the node agent was away at its start", now=True)


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
    elif pod.node and not _is_admitted(seen, pod, Role.PROVIDER):
        if seen.agent.usable:
            yield AdmitPod(Role.PROVIDER, pod.node)
    elif failed_at_guard(pod) and seen.agent.usable:
        yield ReplacePod(Role.PROVIDER, pod.uid, "the node agent was away at its start", now=True)


def _root(seen: Observed, parent: Parent, instance: Instance) -> Iterator[Step]:
    if not seen.home or not seen.agent.usable or instance.node not in {"", seen.home}:
        return
    provider = seen.provider
    usable = provider is not None and provider.ours and provider.node == seen.home
    # A provider made before the template named another image has the wrong layers.
    if not usable or provider is None or outdated_provider(seen, parent, provider):
        image_id = ""
    else:
        image_id = provider.container.image_id
    if seen.root is None:
        if image_id and not lost_data(seen):
            yield EnsureRoot(seen.home, image_id)
    elif not seen.root.mounted:
        yield EnsureRoot(seen.home, image_id)


def _release(seen: Observed, parent: Parent) -> Iterator[Step]:
    if not parent.finalized:
        return
    pods = [(Role.CONSUMER, seen.consumer), (Role.PROVIDER, seen.provider)]
    present = [(role, pod) for role, pod in pods if pod and not pod.foreign]
    for role, pod in present:
        if not pod.deleting:
            yield DeletePod(role, pod.uid)
    if present:
        return
    nodes = seen.root_nodes | ({seen.home} if seen.home and seen.home_exists else frozenset())
    left = sorted(nodes - seen.deleted_on)
    if left and seen.agent.connected:
        yield from (DeleteRoot(node) for node in left)
    elif left:
        return
    if seen.instance and seen.instance.ours and not seen.instance.deleting:
        yield DeleteInstance(seen.instance.uid)
    elif seen.instance and seen.instance.ours:
        return
    yield RemoveFinalizer()


def may_start(seen: Observed) -> bool:
    """The agent's current word: this root is mounted, whole and free."""
    root = seen.root
    return (
        seen.agent.usable
        and root is not None
        and root.mounted
        and not root.held
        and not root.problem_reason
        and not lost_provider_name(seen)
    )


def lost_provider_name(seen: Observed) -> bool:
    """Somebody else's pod stands where the provider must be."""
    return seen.provider is not None and seen.provider.foreign


def needs_sync(seen: Observed) -> bool:
    """The last container is gone and what it wrote is not yet known to be on disk."""
    root = seen.root
    return bool(
        root and seen.agent.connected and root.mounted and not root.held and not root.synced
    )


def lost_data(seen: Observed) -> bool:
    """A root with data is on record, and its node says that there is none."""
    return seen.had_root and seen.agent.connected and seen.root is None


def failed_at_guard(pod: Pod) -> bool:
    """The container never ran its command, because the agent did not, or would not.

    Put it on its root.
    """
    state = pod.container
    if state.running:
        return False
    texts = (state.waiting_message, state.ended_message, state.last_message)
    if any(names.GUARD in text for text in texts):
        return True
    if state.waiting_reason not in REFUSED and state.ended_reason not in REFUSED:
        return False
    return any("stoppablecontainer" in text or "in use" in text for text in texts)


def must_run_again(pod: Pod) -> bool:
    """A pod that ended for a reason that the user's command has nothing to do with."""
    if pod.phase not in {"Failed", "Succeeded"}:
        return False
    if failed_at_guard(pod) or not pod.container.ever_started:
        return pod.phase == "Failed"
    if pod.restart_policy == "Always":
        return True
    return pod.restart_policy == "OnFailure" and pod.disrupted


def outdated_provider(seen: Observed, parent: Parent, pod: Pod) -> bool:
    """Until a root is made, the provider follows the template.

    That is how a wrong image name heals.
    """
    if seen.root is not None or lost_data(seen) or parent.template is None:
        return False
    if seen.home and not seen.agent.connected:
        return False
    changed = pod.template_hash != digest(parent.template)
    return changed or pod.image != parent.template.image


def _is_admitted(seen: Observed, pod: Pod, role: Role) -> bool:
    root = seen.root
    if root is None:
        return role is Role.PROVIDER and pod.uid in seen.admitted
    if role is Role.PROVIDER:
        return pod.uid == root.admitted_provider or pod.uid in seen.admitted
    return pod.uid in {root.admitted_consumer, root.holder}
