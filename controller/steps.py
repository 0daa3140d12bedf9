"""The steps of a plan: a closed set of small values that can be printed and compared.

`plan` makes them, `apply` does them, `memory` holds back those that failed by their `step_name`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controller.model import Role


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """The StoppableContainer may not vanish before its root does."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Everything of it is gone."""


@dataclass(frozen=True, slots=True)
class MirrorInstance:
    """The instance exists and its spec is the parent's, plus the node."""

    node: str


@dataclass(frozen=True, slots=True)
class DeleteInstance:
    """The instance goes, background propagation."""

    uid: str


@dataclass(frozen=True, slots=True)
class CleanInstance:
    """Takes off the finalizer of an earlier implementation, which nobody else would."""

    uid: str


@dataclass(frozen=True, slots=True)
class CreatePod:
    """POST of the provider or consumer pod."""

    role: Role


@dataclass(frozen=True, slots=True)
class DeletePod:
    """DELETE with the pod's own grace period; `why` when it should have stayed."""

    role: Role
    uid: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class StartProcess:
    """Starts, or thaws, the command of a supervised container whose pod stayed."""

    node: str
    root: str
    pod: str
    thaw: bool


@dataclass(frozen=True, slots=True)
class StopProcess:
    """Stops, or freezes, the command; the pod stays, and is told that it is not running."""

    node: str
    root: str
    pod: str
    freeze: bool


@dataclass(frozen=True, slots=True)
class TellPod:
    """Writes the condition that the readiness gate of a supervised pod waits for."""

    uid: str
    running: bool
    ready: bool = False


@dataclass(frozen=True, slots=True)
class ResizePod:
    """Changes requests of the first container in place: less at rest, all when the command runs."""

    uid: str
    requests: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ReplacePod:
    """DELETE of a pod that can do no more good, so that a new one can be made."""

    role: Role
    uid: str
    why: str
    now: bool


@dataclass(frozen=True, slots=True)
class AdmitPod:
    """Announces our pod of this role to the agent of the node."""

    role: Role
    node: str


@dataclass(frozen=True, slots=True)
class EnsureRoot:
    """Makes the agent make and mount a root."""

    node: str
    root: str
    image_id: str


@dataclass(frozen=True, slots=True)
class SyncRoot:
    """Makes what the stopped container wrote durable."""

    node: str
    root: str


@dataclass(frozen=True, slots=True)
class DeleteRoot:
    """Removes a root and its data from a node."""

    node: str
    root: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class ReadSources:
    """Looks when what a kept pod took its environment from was changed last."""

    pod: str


Step = (
    AddFinalizer
    | RemoveFinalizer
    | MirrorInstance
    | DeleteInstance
    | CleanInstance
    | CreatePod
    | DeletePod
    | StartProcess
    | StopProcess
    | TellPod
    | ResizePod
    | ReplacePod
    | AdmitPod
    | EnsureRoot
    | SyncRoot
    | DeleteRoot
    | ReadSources
)


def step_name(step: Step) -> str:
    """Under which name a failing step is remembered and held back."""
    role = getattr(step, "role", "")
    return f"{type(step).__name__}/{role}" if role else type(step).__name__
