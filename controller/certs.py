"""The product's certificates in their Secrets.

What `renewal` says is due, `pki` makes, the API server keeps.

The leader makes and renews; every replica reads its client certificate here and gives it to
`agents`.
"""

from __future__ import annotations

import base64
import binascii
import logging
from typing import TYPE_CHECKING

from controller import names, pki, renewal
from controller.agents import Tls
from controller.errors import Conflict
from controller.model import SECRET, Key
from controller.renewal import (
    DropPrevious,
    IssueLeaf,
    LeafFacts,
    MakeAuthority,
    PrepareNext,
    PromoteNext,
    Slot,
    SpreadBundle,
)

if TYPE_CHECKING:
    from datetime import datetime

    from controller.doors import KubeDoor
    from controller.model import Body

log = logging.getLogger(__name__)
# Which name each leaf is for, and whether it serves.
LEAVES = {
    names.AGENT_TLS_SECRET: (names.AGENT_SERVER_NAME, True),
    names.CONTROLLER_TLS_SECRET: (names.CONTROLLER_CLIENT_NAME, False),
}
MAX_AUTHORITY_STEPS = 4
Data = dict[str, bytes]


class Certs:
    """Certificates in one namespace."""

    def __init__(self, kube: KubeDoor, namespace: str) -> None:
        self._kube, self._namespace = kube, namespace

    async def renew(self, now: datetime) -> None:
        """Makes whatever is due; called by the leader only, and safe when it is not."""
        body = await self._read(names.CA_SECRET)
        for _ in range(MAX_AUTHORITY_STEPS):
            data = _data(body)
            steps = renewal.authority_due(_authorities(data), now)
            if not steps:
                break
            log.info("certificates: %s", steps[0])
            body = await self._write(
                names.CA_SECRET, body, _next_data(data, steps[0], now), "Opaque"
            )
        data = _data(body)
        authorities = _authorities(data)
        secrets = {name: await self._read(name) for name in LEAVES}
        leaves = {name: _leaf(_data(secret)) for name, secret in secrets.items()}
        bundle = b"".join(data[f"{slot}.crt"] for slot in authorities)
        authority = pki.Pair(data["ca.crt"], data["ca.key"])
        for step in renewal.leaves_due(authorities, leaves, now):
            log.info("certificates: %s", step)
            if isinstance(step, IssueLeaf):
                common_name, server = LEAVES[step.secret]
                pair = pki.make_leaf(
                    authority, now, renewal.LEAF_LIFE, common_name=common_name, server=server
                )
            elif isinstance(step, SpreadBundle):
                old = _data(secrets[step.secret])
                pair = pki.Pair(old["tls.crt"], old["tls.key"])
            else:
                continue
            content = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": bundle}
            await self._write(step.secret, secrets[step.secret], content, "kubernetes.io/tls")

    async def client(self) -> Tls | None:
        """The controller's own certificate; None until a leader has made it."""
        data = _data(await self._read(names.CONTROLLER_TLS_SECRET))
        try:
            return Tls(data["ca.crt"], data["tls.crt"], data["tls.key"])
        except KeyError:
            return None

    async def _read(self, name: str) -> Body | None:
        return await self._kube.get(SECRET, Key(self._namespace, name))

    async def _write(self, name: str, old: Body | None, data: Data, kind: str) -> Body:
        metadata = {"name": name, "namespace": self._namespace}
        encoded = {field: base64.b64encode(value).decode() for field, value in data.items()}
        body = {"apiVersion": "v1", "kind": "Secret", "type": kind, "data": encoded}
        if old is None:
            labels = {"app.kubernetes.io/name": "stoppablecontainer"}
            return await self._kube.create(
                SECRET, body | {"metadata": metadata | {"labels": labels}}
            )
        if old.get("type") != kind:
            raise Conflict(f"Secret {name} has type {old.get('type')}, not {kind}: delete it")
        # The revision in the metadata makes a second writer fail instead of mixing two authorities.
        return await self._kube.replace(SECRET, body | {"metadata": old["metadata"]})


def _data(secret: Body | None) -> Data:
    found = (secret or {}).get("data") or {}
    try:
        return {name: base64.b64decode(value, validate=True) for name, value in found.items()}
    except (binascii.Error, TypeError):
        return {}


def _authorities(data: Data) -> dict[Slot, renewal.CertFacts]:
    found = {}
    for slot in Slot:
        cert = pki.read(data.get(f"{slot}.crt", b""))
        pair = pki.Pair(data.get(f"{slot}.crt", b""), data.get(f"{slot}.key", b""))
        if cert and (slot is Slot.PREVIOUS or pki.fits(pair)):
            found[slot] = cert
    return found


def _leaf(data: Data) -> LeafFacts:
    pair = pki.Pair(data.get("tls.crt", b""), data.get("tls.key", b""))
    cert = pki.read(pair.certificate) if pki.fits(pair) else None
    return LeafFacts(cert, pki.read_bundle(data.get("ca.crt", b"")))


def _next_data(data: Data, step: renewal.Renewal, now: datetime) -> Data:
    """The authority's Secret after a step."""
    keep = {name: value for name, value in data.items() if name.split(".")[0] in set(Slot)}
    match step:
        case MakeAuthority():
            pair = pki.make_authority(now, renewal.AUTHORITY_LIFE)
            return {"ca.crt": pair.certificate, "ca.key": pair.key}
        case PrepareNext():
            pair = pki.make_authority(now, renewal.AUTHORITY_LIFE)
            return keep | {"next.crt": pair.certificate, "next.key": pair.key}
        case PromoteNext():
            return {
                "ca.crt": data["next.crt"],
                "ca.key": data["next.key"],
                "previous.crt": data["ca.crt"],
            }
        case DropPrevious():
            keep.pop("previous.crt", None)
    return keep
