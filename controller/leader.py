"""The Lease: one replica acts; losing it ends the process.

`run` acquires, renews and gives it back. `fence` goes with every call to an agent; `leading` is
asked before every step. The process may act until `RENEW_DEADLINE` after the begin of its last
successful renewal; others may take the lease `LEASE_SECONDS` after the last renewal that they saw:
the difference is the room for slow clocks and calls under way.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from controller import names
from controller.errors import Conflict, ControllerError
from controller.model import LEASE, Key

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.doors import KubeDoor
    from controller.model import Body

log = logging.getLogger(__name__)
LEASE_SECONDS = 15.0
RENEW_DEADLINE = 10.0
RETRY_SECONDS = 2.0
# A call that hangs must leave room for another try before the deadline.
CALL_SECONDS = RENEW_DEADLINE / 3
# The count of a new Lease begins with the minutes since then.
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Leader:
    """`die` must not return control to this process's work: the real one is os._exit."""

    def __init__(
        self,
        kube: KubeDoor,
        namespace: str,
        identity: str,
        *,
        on_start: Callable[[], None],
        die: Callable[[str], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._kube, self._key, self._identity = kube, Key(namespace, names.LEASE), identity
        self._on_start, self._die, self._monotonic = on_start, die, monotonic
        self._body: Body | None = None
        self._seen_at = 0.0
        self._read_at: float | None = None
        self._renewed_at: float | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self.fence = 0

    def leading(self) -> bool:
        """Whether this process may act at this very moment."""
        renewed = self._renewed_at
        return renewed is not None and self._monotonic() < renewed + RENEW_DEADLINE

    def informed(self) -> bool:
        """Whether the Lease was read lately: this process could take over."""
        read = self._read_at
        return read is not None and self._monotonic() < read + LEASE_SECONDS

    def deadline(self) -> float | None:
        """When the right to act ends, for a watcher outside of the event loop."""
        return None if self._renewed_at is None else self._renewed_at + RENEW_DEADLINE

    async def run(self) -> None:
        """Until cancelled; then the lease is given back at once."""
        try:
            while True:
                await self._try()
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            if self.leading():
                await asyncio.shield(self._release())

    async def _try(self) -> None:
        begun = self._monotonic()
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._renew(begun) if self.leading() else await self._acquire(begun)
        except Conflict:
            # Somebody wrote in between; what they wrote is read at the next try.
            self._body = None
        except (ControllerError, TimeoutError) as error:
            log.warning("lease: %s", error or "the call took too long")

    async def _acquire(self, begun: float) -> None:
        body = await self._kube.get(LEASE, self._key)
        self._read_at = begun
        if body is None:
            body = await self._kube.create(LEASE, self._wanted(None, begun_anew=True))
            self._lead(body, begun)
            return
        if _revision(body) != _revision(self._body):
            self._seen_at = begun
        self._body = body
        holder = body["spec"].get("holderIdentity")
        lasts = float(body["spec"].get("leaseDurationSeconds") or LEASE_SECONDS)
        # Only our own clock counts: the other's renewals are seen as changes, never read as times.
        if holder and holder != self._identity and begun < self._seen_at + lasts:
            return
        self._lead(await self._kube.replace(LEASE, self._wanted(body, begun_anew=True)), begun)

    async def _renew(self, begun: float) -> None:
        if self._body is None:
            body = await self._kube.get(LEASE, self._key)
            if body is None or body["spec"].get("holderIdentity") != self._identity:
                self._die("the lease is somebody else's")
                return
            self._body = body
        self._body = await self._kube.replace(LEASE, self._wanted(self._body, begun_anew=False))
        self._renewed(begun)

    def _lead(self, body: Body, begun: float) -> None:
        self._body = body
        self.fence = int(body["spec"]["leaseTransitions"])
        self._renewed(begun)
        log.info("leading with fence %d", self.fence)
        self._on_start()

    def _renewed(self, begun: float) -> None:
        self._renewed_at = begun
        if self._watchdog:
            self._watchdog.cancel()
        left = begun + RENEW_DEADLINE - self._monotonic()
        loop = asyncio.get_running_loop()
        self._watchdog = loop.call_later(max(0.0, left), self._die, "the lease was not renewed")

    async def _release(self) -> None:
        if self._watchdog:
            self._watchdog.cancel()
        self._renewed_at = None
        body = self._body
        if body is None:
            return
        spec = {**body["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._kube.replace(LEASE, {**body, "spec": spec})
        except (ControllerError, TimeoutError) as error:
            log.warning("lease not given back: %s", error)

    def _wanted(self, body: Body | None, *, begun_anew: bool) -> Body:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = dict(body["spec"]) if body else {}
        # Counted at every beginning, also by the same pod: a restarted process must not share a
        # fence.
        # A Lease that was deleted must not begin below a fence that agents have already seen.
        first = (datetime.now(UTC) - EPOCH) // timedelta(minutes=1)
        known = int(spec.get("leaseTransitions") or 0) if body else first
        transitions = known + (1 if begun_anew else 0)
        spec |= {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(LEASE_SECONDS),
            "renewTime": now,
            "leaseTransitions": transitions,
        }
        if begun_anew:
            spec["acquireTime"] = now
        metadata = (
            body["metadata"] if body else {"name": self._key.name, "namespace": self._key.namespace}
        )
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": metadata,
            "spec": spec,
        }


def _revision(body: Body | None) -> str:
    return str(body["metadata"].get("resourceVersion")) if body else ""
