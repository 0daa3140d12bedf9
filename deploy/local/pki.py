"""The cluster's certificates and keys: one authority, made once, kept with the cluster's state."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LIFETIME = dt.timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Identity:
    """Where a certificate and its key lie."""

    certificate: Path
    key: Path


class Authority:
    """Signs what the cluster needs; reads its own key back when it was made before."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.identity = Identity(folder / "ca.crt", folder / "ca.key")
        if not self.identity.certificate.exists():
            self._create()
        self._folder = folder
        self._certificate = x509.load_pem_x509_certificate(self.identity.certificate.read_bytes())
        key = serialization.load_pem_private_key(self.identity.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key

    def client(self, file: str, user: str, *groups: str) -> Identity:
        """A client certificate: the API server reads user and groups from its subject."""
        return self._issue(file, user, groups, [], ExtendedKeyUsageOID.CLIENT_AUTH)

    def server(self, file: str, user: str, names: Sequence[str | IPv4Address]) -> Identity:
        """A serving certificate for the names and addresses."""
        return self._issue(file, user, (), names, ExtendedKeyUsageOID.SERVER_AUTH)

    def signing_key(self, file: str) -> Identity:
        """A key pair without a certificate: service account tokens are signed with it."""
        identity = Identity(self._folder / f"{file}.pub", self._folder / f"{file}.key")
        if not identity.certificate.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            _write_key(identity.key, key)
            public = serialization.PublicFormat.SubjectPublicKeyInfo
            encoded = key.public_key().public_bytes(serialization.Encoding.PEM, public)
            _write(identity.certificate, encoded)
        return identity

    def _create(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("stoppablecontainer-local", ())
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        signed = (
            _builder(name, name, key.public_key(), key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        _write_key(self.identity.key, key)
        _write(self.identity.certificate, signed.public_bytes(serialization.Encoding.PEM))

    def _issue(
        self,
        file: str,
        user: str,
        groups: Sequence[str],
        names: Sequence[str | IPv4Address],
        usage: x509.ObjectIdentifier,
    ) -> Identity:
        identity = Identity(self._folder / f"{file}.crt", self._folder / f"{file}.key")
        if identity.certificate.exists():
            return identity
        key = ec.generate_private_key(ec.SECP256R1())
        signer = self._key.public_key()
        subject = _name(user, groups)
        builder = _builder(subject, self._certificate.subject, key.public_key(), signer)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names:
            alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        _write_key(identity.key, key)
        # Last: the certificate says that the pair is complete.
        _write(identity.certificate, signed.public_bytes(serialization.Encoding.PEM))
        return identity


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePublicKey,
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    # Python 3.13 verifies with VERIFY_X509_STRICT, which demands both identifiers (RFC 5280 4.2.1).
    own_id = x509.SubjectKeyIdentifier.from_public_key(key)
    signer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer)
    return (
        x509.CertificateBuilder()
        .add_extension(own_id, critical=False)
        .add_extension(signer_id, critical=False)
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # A clock that is set back a little must not make the cluster unusable.
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
    )


def _name(user: str, groups: Sequence[str]) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _general_name(name: str | IPv4Address) -> x509.GeneralName:
    return x509.IPAddress(name) if isinstance(name, IPv4Address) else x509.DNSName(name)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    encoded = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    _write(path, encoded)


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
