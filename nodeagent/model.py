"""The agent's plain types: what a root, an admission, a holder and the node's state are.

Everything else passes these around; service.py turns them into protobuf, records.py into JSON.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

GUARD = "/.stoppablecontainer/required"  # exists nowhere: a command that still has it cannot run
GATE_IN_CONTAINER = "/dev/.stoppablecontainer/gate"
AGENT_IN_CONTAINER = "/dev/.stoppablecontainer/agent"  # the folder with the socket and the state


class Role(enum.Enum):
    """What an admitted pod's container is to its root."""

    PROVIDER = "provider"
    CONSUMER = "consumer"


class ProcessState(enum.Enum):
    """How the command of a supervised container is; the gate lives, whatever it does."""

    NONE = "none"  # no supervised container holds the root
    CONNECTING = "connecting"  # its gate has not spoken since the agent or the container started
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    FROZEN = "frozen"

    @property
    def is_quiet(self) -> bool:
        """Nothing of the user's can write."""
        return self in {ProcessState.STOPPED, ProcessState.FROZEN}


@dataclass(frozen=True, slots=True)
class Timeline:
    """When each thing happened to the admitted consumer pod, in microseconds; 0: not yet."""

    pod_uid: str = ""
    sandbox: int = 0
    created: int = 0
    swapped: int = 0
    verified: int = 0
    running: int = 0
    stopping: int = 0
    stopped: int = 0
    synced: int = 0


@dataclass(frozen=True, slots=True)
class Image:
    """What the runtime says about an image that it has."""

    digest: str
    chain_id: str
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    working_dir: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """What must outlive a reboot; lies beside the upper. The image never changes for a root."""

    uid: str
    namespace: str
    name: str
    image_name: str
    image: Image
    synced_for: str = ""  # pod uid of the last consumer whose writes are known to be on disk
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Admission:
    """A pod that the controller announced, for one container and one root."""

    root_uid: str
    role: Role
    namespace: str
    pod_name: str
    pod_uid: str
    container: str
    init: bool = False
    entrypoint_from_image: bool = False
    cmd_from_image: bool = False
    gid_from_root: bool = False
    groups_from_root: bool = False
    supervise: bool = False  # the gate starts and stops the command when it is told to


@dataclass(frozen=True, slots=True)
class Holder:
    """The container that lives on a root; pid is its first process, or one that is left of it."""

    pod_uid: str
    pid: int
    since_unix_ms: int
    mount_namespace: int = 0  # inode of /proc/PID/ns/mnt
    container_id: str = ""  # empty until the runtime has named it


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a root is not usable: a CamelCase reason, and what to do."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Root:
    """All that is known of one root id. Without a record it is only the admission of a provider."""

    uid: str
    record: Record | None = None
    device: int | None = None  # st_dev of the mounted overlay; None: not mounted
    host_path: str = ""
    holder: Holder | None = None
    synced: bool = False
    provider: Admission | None = None
    consumer: Admission | None = None
    problem: Problem | None = None
    process: ProcessState = ProcessState.NONE
    timeline: Timeline = Timeline()

    @property
    def supervised(self) -> Holder | None:
        """The holder, when it is the gate of the admitted pod's supervised container."""
        if self.holder is None or self.consumer is None or not self.consumer.supervise:
            return None
        return self.holder if self.holder.pod_uid == self.consumer.pod_uid else None


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """Whether this node can take roots."""

    node: str
    ready: bool
    reason: str
    message: str
    runtime: str


@dataclass(frozen=True, slots=True)
class RuntimeVersion:
    """What the CRI calls itself."""

    name: str
    version: str

    def __str__(self) -> str:
        """As people write it: containerd 2.3.7."""
        return f"{self.name} {self.version}".strip()


@dataclass(frozen=True, slots=True)
class ContainerEvent:
    """One container as an NRI event shows it, with the pod it is in."""

    pod_uid: str
    pod_namespace: str
    pod_name: str
    container_id: str
    container_name: str
    pid: int
    sandbox_id: str = ""
    runtime_handler: str = ""  # what the pod's runtimeClassName stands for; empty: the default


@dataclass(frozen=True, slots=True)
class Stored:
    """A container as the runtime keeps it: its OCI spec, and which runtime will build it."""

    spec: bytes
    runtime: str


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo."""

    mount_id: int
    parent_id: int
    device: int
    root: str
    target: str
    options: tuple[str, ...]
    propagation: tuple[str, ...]
    fstype: str
    source: str
    super_options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Process:
    """A process by what matters here: the device of its root and its mount namespace."""

    pid: int
    root_device: int
    mount_namespace: int
