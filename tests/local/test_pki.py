"""The cluster's certificates, as Python's strictest checks see them."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from deploy.local.pki import Authority, Identity


def parse(identity: Identity) -> x509.Certificate:
    return x509.load_pem_x509_certificate(identity.certificate.read_bytes())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


def test_user_and_groups_are_in_the_subject(authority: Authority) -> None:
    subject = parse(authority.client("x", "me", "ours", "theirs")).subject

    assert [part.value for part in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["me"]
    groups = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert [part.value for part in groups] == ["ours", "theirs"]


def test_a_certificate_points_at_its_authority(authority: Authority) -> None:
    own = parse(authority.server("x", "me", ["localhost"]))
    above = parse(authority.identity)
    pointer = own.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    target = above.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value

    assert pointer.key_identifier == target.digest
    own.verify_directly_issued_by(above)


def test_what_was_made_once_is_kept(authority: Authority, tmp_path: Path) -> None:
    before = authority.client("x", "me").certificate.read_bytes()
    again = Authority(tmp_path / "pki")

    assert again.client("x", "me").certificate.read_bytes() == before


def test_keys_are_for_their_owner_only(authority: Authority) -> None:
    for identity in (authority.identity, authority.client("x", "me"), authority.signing_key("s")):
        assert identity.key.stat().st_mode & 0o077 == 0
