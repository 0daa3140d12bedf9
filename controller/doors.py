"""What the controller needs from the two outside worlds, as types.

The API server and the node agents.

`kube` and `agents` are the real ones, tests/fakes the others; `apply`, `report` and `leader` take
either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from controller.model import Body, Key, Kind, Role, Root


@dataclass(frozen=True, slots=True)
class RootOrder:
    """What EnsureRoot is asked for."""

    uid: str
    namespace: str
    name: str
    image: str
    image_id: str


@dataclass(frozen=True, slots=True)
class Admission:
    """What AdmitPod announces."""

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
    supervise: bool = False


@dataclass(frozen=True, slots=True)
class StopOrder:
    """What StopProcess is asked for; the grace in milliseconds, for hook and command together."""

    uid: str
    pod_uid: str
    grace_ms: int
    pre_stop: tuple[str, ...] = ()
    freeze: bool = False


class KubeDoor(Protocol):
    """The API server; raises only `errors`."""

    async def get(self, kind: Kind, key: Key) -> Body | None:
        """The object, None when there is none."""

    async def metadata(self, kind: Kind, key: Key) -> Body | None:
        """When it was made and written, without what is in it; Denied when that is not allowed."""

    async def list(
        self, kind: Kind, namespace: str = "", selector: str = ""
    ) -> tuple[list[Body], int]:
        """All objects, and the revision at which that was true."""

    async def create(self, kind: Kind, body: Body) -> Body:
        """POST; Conflict when the name is taken, Denied when it is refused."""

    async def apply(
        self, kind: Kind, body: Body, *, subresource: str = "", force: bool = True
    ) -> Body:
        """Server-side apply."""

    async def patch(
        self, kind: Kind, key: Key, patch: Mapping[str, Any], *, subresource: str = ""
    ) -> Body:
        """Merge patch; strategic for a subresource of nodes and pods, where lists merge by name."""

    async def replace(self, kind: Kind, body: Body) -> Body:
        """PUT with the resourceVersion in the body."""

    async def delete(self, kind: Kind, key: Key, uid: str, grace: int | None = None) -> Body | None:
        """DELETE of this very object.

        The object when it stays for a while, None when it is gone.
        """


class WatchDoor(Protocol):
    """The API server, to hear it; raises only `errors`."""

    async def list(
        self, kind: Kind, namespace: str = "", selector: str = ""
    ) -> tuple[list[Body], int]:
        """All objects, and the revision at which that was true."""

    def watch(
        self, kind: Kind, namespace: str, selector: str, since: int
    ) -> AsyncIterator[tuple[str, Body]]:
        """What changes after a revision: ADDED, MODIFIED, DELETED or BOOKMARK, and the object.

        Ends when the server ends the stream; Conflict when the revision is too old for it.
        """


class AgentsDoor(Protocol):
    """The node agents; raises only `errors`."""

    async def ensure_root(self, node: str, order: RootOrder) -> Root:
        """The root, mounted."""

    async def sync(self, node: str, uid: str) -> Root:
        """The root, synced."""

    async def delete_root(self, node: str, uid: str) -> None:
        """Nothing of the root is left."""

    async def admit(self, node: str, admission: Admission) -> None:
        """The agent knows the pod."""

    async def start_process(
        self, node: str, uid: str, pod_uid: str, post_start: tuple[str, ...]
    ) -> Root:
        """The command of the supervised container runs, or its hook does."""

    async def stop_process(self, node: str, order: StopOrder) -> Root:
        """The command is stopped or frozen, or on its way; the stream says when."""

    def point(self, node: str, address: str) -> None:
        """The agent of this node is there; empty: nowhere."""
