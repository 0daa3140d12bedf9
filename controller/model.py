"""The nouns of the controller: kinds, and facts about pods, roots and agents.

Frozen data without behaviour; `observe` fills it in, `plan` and `status` read it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from controller import names
from controller.choices import ImageChangePolicy, StopMode, UpdatePolicy
from controller.environment import NOTHING, Environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.environment import Read

Body = dict[str, Any]


class Key(NamedTuple):
    """What the work queue holds: a StoppableContainer's name, or a node's with no namespace."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Kind:
    """Where an API kind lives."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True
    subset: str = ""


SC = Kind(names.API_VERSION, "StoppableContainer", "stoppablecontainers")
SCI = Kind(names.API_VERSION, "StoppableContainerInstance", "stoppablecontainerinstances")
POD = Kind("v1", "Pod", "pods")
AGENT_POD = Kind("v1", "Pod", "pods", subset="agents")
NODE = Kind("v1", "Node", "nodes", namespaced=False)
SECRET = Kind("v1", "Secret", "secrets")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
EVENT = Kind("v1", "Event", "events")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")


class Process(StrEnum):
    """How the command of a supervised container is, by the agent's word."""

    NONE = ""
    CONNECTING = "Connecting"
    STOPPED = "Stopped"
    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"
    FROZEN = "Frozen"


class Role(StrEnum):
    """What one of our pods is for."""

    PROVIDER = "provider"
    CONSUMER = "consumer"


@dataclass(frozen=True, slots=True)
class Template:
    """The user's template in its one inner form."""

    pod: Mapping[str, Any]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    init: bool

    @property
    def container(self) -> Mapping[str, Any]:
        """The container that gets the persistent root."""
        first: Mapping[str, Any] = self.pod["containers"][0]
        return first

    @property
    def image(self) -> str:
        """The image as the user names it."""
        return str(self.container["image"])


@dataclass(frozen=True, slots=True)
class Parent:
    """The StoppableContainer."""

    namespace: str
    name: str
    uid: str
    generation: int
    deleting: bool
    finalized: bool
    running: bool
    spec: Mapping[str, Any]
    status: Mapping[str, Any]
    template: Template | None
    invalid: str = ""
    update_policy: UpdatePolicy = UpdatePolicy.ON_NEXT_START
    image_change_policy: ImageChangePolicy = ImageChangePolicy.KEEP
    stop_mode: StopMode = StopMode.COLD


@dataclass(frozen=True, slots=True)
class Instance:
    """The StoppableContainerInstance of the same name, whoever owns it."""

    uid: str
    ours: bool
    deleting: bool
    spec: Mapping[str, Any]
    status: Mapping[str, Any]
    generation: int
    legacy_finalizer: bool = False

    @property
    def node(self) -> str:
        """The node that the controller pinned."""
        return str(self.spec.get("node") or "")


@dataclass(frozen=True, slots=True)
class ContainerState:
    """What kubelet says about a pod's first container."""

    running: bool = False
    waiting_reason: str = ""
    waiting_message: str = ""
    ended_reason: str = ""
    ended_message: str = ""
    exit_code: int | None = None
    ended_words: str = ""
    last_message: str = ""
    image_id: str = ""
    ever_started: bool = False


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that has one of our two names."""

    name: str
    uid: str
    ours: bool
    left: bool
    deleting: bool
    node: str
    phase: str
    reason: str
    message: str
    ready: bool
    disrupted: bool
    unschedulable: str
    restart_policy: str
    image: str
    template_hash: str
    container: ContainerState
    root: str = ""
    gated: bool = False
    legacy: bool = False
    trouble: str = ""
    has_claims: bool = False
    supervised: bool = False
    told_running: str = ""
    containers_ready: bool = False
    # Ready but for what we say, and no probe has to look first.
    ready_but_for_us: bool = False
    environment: Environment = NOTHING
    # Of the first container, what can change in place; why the rest cannot; kubelet's refusal.
    requests: tuple[tuple[str, str], ...] = ()
    fixed_requests: str = ""
    resize_pending: str = ""

    @property
    def foreign(self) -> bool:
        """Somebody else's: never touched."""
        return not (self.ours or self.left)


@dataclass(frozen=True, slots=True)
class Timeline:
    """When each thing happened to the admitted consumer, by the node's clock; 0: not known."""

    pod: str = ""
    sandbox: int = 0
    created: int = 0
    swapped: int = 0
    verified: int = 0
    running: int = 0
    stopping: int = 0
    stopped: int = 0
    synced: int = 0


@dataclass(frozen=True, slots=True)
class Root:
    """A persistent root as the node's agent reports it."""

    uid: str
    namespace: str = ""
    name: str = ""
    image: str = ""
    image_digest: str = ""
    mounted: bool = False
    held: bool = False
    holder: str = ""
    synced: bool = False
    host_path: str = ""
    admitted_provider: str = ""
    admitted_consumer: str = ""
    problem_reason: str = ""
    problem_message: str = ""
    process: Process = Process.NONE
    # Nothing is decided by it, so a new time alone is no change that anybody must look at.
    timeline: Timeline = field(default_factory=Timeline, compare=False)


class Place(NamedTuple):
    """A root on a node; both may be there after its object and its instance are gone."""

    node: str
    root: str


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """What an agent says about its node."""

    ready: bool = False
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Agent:
    """What the controller knows of a node's agent."""

    node: str = ""
    connected: bool = False
    status: AgentStatus = field(default_factory=AgentStatus)

    @property
    def usable(self) -> bool:
        """Its word is current and it can take work."""
        return self.connected and self.status.ready


class Condition(NamedTuple):
    """A condition without its times; None: it cannot be known."""

    type: str
    ok: bool | None
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """A step that failed: shown until it succeeds, held back until `until`."""

    reason: str
    message: str
    tries: int
    until: float


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything one plan is made from."""

    parent: Parent | None = None
    instance: Instance | None = None
    provider: Pod | None = None
    consumer: Pod | None = None
    home: str = ""
    home_exists: bool = False
    home_ready: bool = False
    home_message: str = ""
    agent: Agent = field(default_factory=Agent)
    root: Root | None = None
    roots: tuple[Root, ...] = ()
    places: frozenset[Place] = frozenset()
    had_root: bool = False
    agents_settled: bool = True
    no_ready_node: str = ""
    admitted: frozenset[str] = frozenset()
    deleted: frozenset[Place] = frozenset()
    problems: Mapping[str, Problem] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    sources: Read | None = None
    rested: bool = False  # its command has been stopped for a while
