"""Certificates: what is due (pure), what lies in the Secrets.

And trust on both sides through a whole rotation.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from controller import names, pki
from controller.certs import Certs
from controller.model import SECRET, Key
from controller.renewal import (
    AUTHORITY_LIFE,
    LEAF_LIFE,
    OVERLAP,
    CertFacts,
    DropPrevious,
    IssueLeaf,
    LeafFacts,
    MakeAuthority,
    PrepareNext,
    PromoteNext,
    Slot,
    SpreadBundle,
    authority_due,
    leaves_due,
)
from tests.fakes.kube import FakeKube

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def cert(
    key_id: str = "a", issuer: str = "a", begins: datetime = START, days: int = 90
) -> CertFacts:
    return CertFacts(key_id, issuer, begins, begins + days * DAY)


def test_without_an_authority_one_is_made() -> None:
    assert authority_due({}, START) == (MakeAuthority(),)
    assert authority_due({Slot.CURRENT: cert()}, START + 91 * DAY) == (MakeAuthority(),)


def test_an_authority_is_prepared_at_two_thirds_and_promoted_a_day_later() -> None:
    current = cert()

    assert authority_due({Slot.CURRENT: current}, START + 59 * DAY) == ()
    assert authority_due({Slot.CURRENT: current}, START + 60 * DAY) == (PrepareNext(),)
    both = {Slot.CURRENT: current, Slot.NEXT: cert("b", "b", START + 60 * DAY)}
    assert authority_due(both, START + 60 * DAY) == ()
    assert authority_due(both, START + 60 * DAY + OVERLAP) == (PromoteNext(),)


def test_the_old_authority_is_trusted_until_it_ends() -> None:
    both = {Slot.CURRENT: cert("b", "b", START + 60 * DAY), Slot.PREVIOUS: cert()}

    assert authority_due(both, START + 89 * DAY) == ()
    assert authority_due(both, START + 90 * DAY) == (DropPrevious(),)


def test_leaves_follow_age_issuer_and_bundle() -> None:
    authorities = {Slot.CURRENT: cert(days=730)}
    good = LeafFacts(cert("x", "a"), frozenset({"a"}))

    def due(leaf: LeafFacts, now: datetime = START) -> Any:
        return leaves_due(authorities, {"s": leaf}, now)

    assert due(good) == ()
    assert due(good, START + 60 * DAY) == (IssueLeaf("s"),)
    assert due(LeafFacts(None, frozenset())) == (IssueLeaf("s"),)
    assert due(LeafFacts(cert("x", "other"), frozenset({"a"}))) == (IssueLeaf("s"),)
    assert due(LeafFacts(cert("x", "a"), frozenset({"a", "b"}))) == (SpreadBundle("s"),)


def secret(kube: FakeKube, name: str) -> dict[str, bytes]:
    body = kube.objects[SECRET, Key("sys", name)]
    return {field: base64.b64decode(value) for field, value in body["data"].items()}


async def test_the_first_leader_makes_everything_and_the_second_look_nothing() -> None:
    kube = FakeKube()
    certs = Certs(kube, "sys")
    assert await certs.client() is None

    await certs.renew(START)
    before = len(kube.writes)
    await certs.renew(START + timedelta(hours=1))

    assert before == 3
    assert len(kube.writes) == before
    agent = x509.load_pem_x509_certificate(secret(kube, names.AGENT_TLS_SECRET)["tls.crt"])
    alternative = agent.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert alternative.get_values_for_type(x509.DNSName) == ["nodeagent.stoppablecontainer"]
    tls = await certs.client()
    assert tls is not None
    subject = x509.load_pem_x509_certificate(tls.certificate).subject
    assert subject.rfc4514_string() == "CN=stoppablecontainer-controller"


async def test_both_sides_trust_each_other_through_a_whole_rotation_even_a_day_late() -> None:
    kube = FakeKube()
    certs = Certs(kube, "sys")
    history: list[tuple[str, frozenset[str]]] = []
    authorities: set[str] = set()
    now = START
    while now < START + AUTHORITY_LIFE + LEAF_LIFE:
        await certs.renew(now)
        for name in (names.AGENT_TLS_SECRET, names.CONTROLLER_TLS_SECRET):
            data = secret(kube, name)
            leaf = pki.read(data["tls.crt"])
            assert leaf is not None
            assert leaf.begins <= now < leaf.ends
            history.append((leaf.issuer_key_id, pki.read_bundle(data["ca.crt"])))
            authorities.add(leaf.issuer_key_id)
        # One side shows what it has now, the other still trusts what it read almost a day ago.
        issuers = {issuer for issuer, _ in history[-4:]}
        assert all(issuers <= bundle for _, bundle in history[-4:])
        now += timedelta(hours=23)

    assert len(authorities) == 2


@pytest.mark.parametrize("field", ["ca.crt", "ca.key"])
async def test_an_unreadable_authority_is_made_anew(field: str) -> None:
    kube = FakeKube()
    certs = Certs(kube, "sys")
    await certs.renew(START)
    key = Key("sys", names.CA_SECRET)
    kube.change(SECRET, key, {"data": {field: base64.b64encode(b"nonsense").decode()}})

    await certs.renew(START)

    authority = pki.read(secret(kube, names.CA_SECRET)["ca.crt"])
    leaf = pki.read(secret(kube, names.AGENT_TLS_SECRET)["tls.crt"])
    assert authority is not None
    assert leaf is not None
    assert leaf.issuer_key_id == authority.key_id
