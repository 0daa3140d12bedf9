"""Which certificates are due, and when: facts and a time in, steps out; pure.

`certs` carries them out with `pki`. A new authority is first only trusted (in the bundle), and
signs a day later, when every agent has surely read the bundle; the old one stays trusted until it
ends. So at every moment both sides trust what the other shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

AUTHORITY_LIFE = timedelta(days=730)
LEAF_LIFE = timedelta(days=90)
# Kubelet brings a changed Secret into a running pod within two minutes; a day also covers a node
# that is away.
OVERLAP = timedelta(days=1)


class Slot(StrEnum):
    """The places of an authority in its Secret."""

    CURRENT = "ca"
    NEXT = "next"
    PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class CertFacts:
    """What is needed of a certificate."""

    key_id: str
    issuer_key_id: str
    begins: datetime
    ends: datetime

    def due(self, now: datetime) -> bool:
        """Two thirds of its life are over."""
        return now >= self.begins + (self.ends - self.begins) * 2 / 3


@dataclass(frozen=True, slots=True)
class LeafFacts:
    """A leaf as its Secret has it."""

    cert: CertFacts | None
    trusted: frozenset[str]


@dataclass(frozen=True, slots=True)
class MakeAuthority:
    """Nothing to trust yet, or no more."""


@dataclass(frozen=True, slots=True)
class PrepareNext:
    """The next authority enters the bundle."""


@dataclass(frozen=True, slots=True)
class PromoteNext:
    """The next authority signs from now on."""


@dataclass(frozen=True, slots=True)
class DropPrevious:
    """The old authority has ended."""


@dataclass(frozen=True, slots=True)
class IssueLeaf:
    """A new key and certificate, with the present bundle beside it."""

    secret: str


@dataclass(frozen=True, slots=True)
class SpreadBundle:
    """The same key and certificate, with the present bundle beside it."""

    secret: str


Renewal = MakeAuthority | PrepareNext | PromoteNext | DropPrevious | IssueLeaf | SpreadBundle


def authority_due(authorities: Mapping[Slot, CertFacts], now: datetime) -> tuple[Renewal, ...]:
    """What must be done to the authority; one step at a time, as each changes the facts."""
    current, following = authorities.get(Slot.CURRENT), authorities.get(Slot.NEXT)
    if current is None or now >= current.ends:
        return (MakeAuthority(),)
    if following is not None and now >= following.begins + OVERLAP:
        return (PromoteNext(),)
    if following is None and current.due(now):
        return (PrepareNext(),)
    previous = authorities.get(Slot.PREVIOUS)
    if previous is not None and now >= previous.ends:
        return (DropPrevious(),)
    return ()


def leaves_due(
    authorities: Mapping[Slot, CertFacts], leaves: Mapping[str, LeafFacts], now: datetime
) -> tuple[Renewal, ...]:
    """What must be done to the leaves under these authorities."""
    trusted = frozenset(cert.key_id for cert in authorities.values())
    current = authorities[Slot.CURRENT]
    steps: list[Renewal] = []
    for secret, leaf in sorted(leaves.items()):
        if leaf.cert is None or leaf.cert.due(now) or leaf.cert.issuer_key_id != current.key_id:
            steps.append(IssueLeaf(secret))
        elif leaf.trusted != trusted:
            steps.append(SpreadBundle(secret))
    return tuple(steps)
