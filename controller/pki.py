"""Makes and reads certificates: the only import of `cryptography`.

Knows no Secrets and no schedule.

`certs` asks for authorities and leaves and stores what comes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from controller.renewal import CertFacts

if TYPE_CHECKING:
    from datetime import datetime

# A node whose clock is behind must not refuse a fresh certificate.
SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes


def make_authority(now: datetime, life: timedelta) -> Pair:
    """A self-signed authority that may sign leaves only."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"StoppableContainer authority {now:%Y-%m-%d}")
    builder = _builder(name, name, key.public_key(), now, life)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs=True), critical=True)
    return _pair(builder.sign(key, hashes.SHA256()), key)


def make_leaf(
    authority: Pair, now: datetime, life: timedelta, *, common_name: str, server: bool
) -> Pair:
    """A certificate for one end of the line; it never outlives its authority."""
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key = serialization.load_pem_private_key(authority.key, password=None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise ValueError("the authority's key is not an elliptic-curve key")  # noqa: TRY004
    key = ec.generate_private_key(ec.SECP256R1())
    life = min(life, issuer.not_valid_after_utc - now)
    builder = _builder(_name(common_name), issuer.subject, key.public_key(), now, life)
    usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(common_name)]), critical=False)
        .add_extension(authority_id, critical=False)
    )
    return _pair(builder.sign(issuer_key, hashes.SHA256()), key)


def read(pem: bytes) -> CertFacts | None:
    """The facts of the first certificate; None for what is not one."""
    try:
        return _facts(x509.load_pem_x509_certificate(pem))
    except (ValueError, x509.ExtensionNotFound):
        return None


def read_bundle(pem: bytes) -> frozenset[str]:
    """The key ids of all certificates in a bundle."""
    try:
        return frozenset(_facts(cert).key_id for cert in x509.load_pem_x509_certificates(pem))
    except (ValueError, x509.ExtensionNotFound):
        return frozenset()


def fits(pair: Pair) -> bool:
    """Whether key and certificate belong together."""
    try:
        cert = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, password=None)
    except (ValueError, TypeError):
        return False
    return isinstance(key, ec.EllipticCurvePrivateKey) and key.public_key() == cert.public_key()


def _facts(cert: x509.Certificate) -> CertFacts:
    own = cert.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    try:
        issuer = cert.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        issuer_id = (issuer.key_identifier or b"").hex()
    except x509.ExtensionNotFound:
        issuer_id = own.digest.hex()
    return CertFacts(
        own.digest.hex(), issuer_id, cert.not_valid_before_utc, cert.not_valid_after_utc
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
