"""The two outside worlds as the use cases see them: the kernel and the container runtime.

The real ones are kernel.py and runtime.py; tests/fakes has ones that hold state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from nodeagent.model import Image, Mount, Process, RuntimeVersion, Stored


class Kernel(Protocol):
    """Mounts, folders and processes of one node."""

    def mounts(self) -> tuple[Mount, ...]:
        """List the mounts of the agent's own namespace."""
        ...

    def mounted_for(self, source: str) -> tuple[int, ...]:
        """Name one process of each mount namespace that has an overlay of this source."""
        ...

    def mount_overlay(
        self, source: str, target: Path, lower: tuple[Path, ...], upper: Path, work: Path
    ) -> None:
        """Mount an overlay, lowers from top to bottom."""
        ...

    def unmount(self, target: Path) -> None:
        """Unmount what is on top at the target."""
        ...

    def make_shared(self, path: Path) -> None:
        """Let mounts made below the path propagate."""
        ...

    def exists(self, path: Path) -> bool:
        """Say whether a folder is there, without following a link."""
        ...

    def make_dir(self, path: Path, mode: int) -> None:
        """Make one folder; fine when it is there."""
        ...

    def make_upper(self, path: Path, like: Path) -> None:
        """Make an upper whose top folder has mode, owner and attributes of another folder."""
        ...

    def remove_dir(self, path: Path) -> None:
        """Remove an empty folder; fine when it is absent."""
        ...

    def remove_tree(self, path: Path) -> None:
        """Remove a folder full of a user's files; fine when it is absent."""
        ...

    def sync(self, path: Path) -> None:
        """Write the filesystem of the path to disk."""
        ...

    def device(self, path: Path) -> int:
        """Return st_dev of a folder."""
        ...

    def read_below(self, root: Path, name: str, limit: int) -> str:
        """Read a file of a user's below a root; empty when it is absent, too long or no file."""
        ...

    def process(self, pid: int) -> Process | None:
        """Look at one process; None when it is gone."""
        ...

    def processes(self) -> tuple[Process, ...]:
        """Look at all processes."""
        ...

    def pod_of(self, pid: int) -> str:
        """Return the pod uid in a process's cgroup, or the empty string."""
        ...

    def open_pidfd(self, pid: int) -> int:
        """Open a descriptor that becomes readable when the process ends; the caller closes it."""
        ...

    def keep_namespace(self, pid: int) -> tuple[int, int]:
        """Open a process's mount namespace, so that no other gets its number; and say that."""
        ...

    def began(self, pid: int) -> int:
        """Say when a process began, in microseconds since 1970; 0 when it is gone."""
        ...

    def kill(self, pid: int) -> None:
        """Kill a process; fine when it is gone."""
        ...

    def beside(self, pid: int) -> tuple[int, ...]:
        """Name the others in the cgroup of a container's first process."""
        ...

    def kill_beside(self, pid: int) -> int:
        """Kill the others in the cgroup of a container's first process; how many there were."""
        ...

    def freeze(self, pid: int) -> None:
        """Freeze the container of a first process; nothing of it runs after that."""
        ...

    def thaw(self, pid: int) -> None:
        """Let the container of a first process go on; fine when it does."""
        ...

    def is_frozen(self, pid: int) -> bool:
        """Say whether the container of a first process is frozen."""
        ...


class Runtime(Protocol):
    """Images, pinned layers and stored container specs."""

    def version(self) -> RuntimeVersion:
        """Ask the runtime who it is."""
        ...

    def image(self, image_id: str) -> Image:
        """Resolve an image that the runtime has."""
        ...

    def pin(self, uid: str, chain_id: str) -> tuple[Path, ...]:
        """Keep the layers of a chain for this root, and list them from top to bottom."""
        ...

    def unpin(self, uid: str) -> None:
        """Let the layers go; fine when they are not pinned."""
        ...

    def stored(self, container_id: str) -> Stored:
        """Read what is stored of a container."""
        ...

    def replace_spec(self, container_id: str, spec: bytes) -> None:
        """Store another OCI spec for a container that was not started yet."""
        ...

    def stop_signal(self, container_id: str) -> int:
        """Say with which signal a container's command is asked to end."""
        ...

    def exec(self, container_id: str, command: tuple[str, ...], seconds: float) -> int:
        """Run a command in a container, to its end or to that of the time; its exit code."""
        ...
