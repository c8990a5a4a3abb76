"""The federation's own authority: what it issues, what it refuses, and when its certificates are renewed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from protocol.signing import SigningKey
from protocol.tls.files import certificate_in, pem, public_of
from protocol.tls.requests import new_tls_key, request_for, requested_key
from registry.keyfiles import make_member_keys, make_registrar_keys
from registry.pki.authority import Authority
from registry.pki.issuing import broker_keys, certify, install_beside, is_fresh, registrar_tls
from registry.pki.profiles import BROKER, PROFILES, REGISTRAR
from schemas.errors import LocalError, PeerError
from schemas.records import Role

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
_DER = Encoding.DER


@pytest.fixture
def authority() -> Authority:
    return Authority.new("hearts of the north", NOW)


def test_a_members_certificate_names_it_in_the_subject_that_brokers_read(authority: Authority, tmp_path: Path) -> None:
    card = make_member_keys("clinic-north", tmp_path)
    issued = certify(authority, card, [Role.SITE], NOW)
    leaf = x509.load_pem_x509_certificates(issued.chain)[0]
    assert leaf.subject.rfc4514_string() == "CN=clinic-north,O=federation"
    assert leaf.not_valid_after_utc - NOW == 90 * DAY
    leaf.verify_directly_issued_by(authority.certificate)
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_of_a_request_the_key_counts_and_no_word_of_it(authority: Authority) -> None:
    key = new_tls_key()
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "federation"), x509.NameAttribute(NameOID.COMMON_NAME, "x")]
    claims = x509.BasicConstraints(ca=True, path_length=3)
    asked = x509.CertificateSigningRequestBuilder(x509.Name(names)).add_extension(claims, critical=True)
    public = requested_key(asked.sign(key, hashes.SHA256()).public_bytes(_DER))
    leaf = authority.issue(PROFILES["site"], "clinic", public, NOW)
    assert leaf.subject.rfc4514_string() == "CN=clinic,O=federation"
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_request_that_its_own_key_did_not_sign_is_refused() -> None:
    request = bytearray(request_for(new_tls_key(), "clinic"))
    request[-3] ^= 1
    with pytest.raises(PeerError, match=r"not signed by its own key|is none"):
        requested_key(bytes(request))


@given(st.binary(max_size=200))
def test_any_other_bytes_are_no_request(data: bytes) -> None:
    with pytest.raises(PeerError):
        requested_key(data)


@pytest.mark.parametrize("curve", [ec.SECP384R1(), None])
def test_a_request_for_a_key_of_another_kind_is_refused(curve: ec.EllipticCurve | None) -> None:
    key = ec.generate_private_key(curve) if curve else rsa.generate_private_key(65537, 2048)
    asked = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256())
    with pytest.raises(PeerError, match="not of curve P-256"):
        requested_key(asked.public_bytes(_DER))


@pytest.mark.parametrize(
    ("profile", "name", "hosts", "said"),
    [
        ("site", "broker", (), "no site is called broker"),
        ("site", "registrar", (), "no site is called registrar"),
        ("broker", "clinic", ("h",), "no broker is called clinic"),
        ("site", "Clinic North", (), "Clinic North"),
        ("site", "clinic", ("kafka.example.org",), "carries no host names"),
        ("broker", "broker", (), "needs the host names"),
    ],
)
def test_what_the_profile_has_not_is_refused(
    authority: Authority, profile: str, name: str, hosts: tuple[str, ...], said: str
) -> None:
    with pytest.raises(LocalError, match=said):
        authority.issue(PROFILES[profile], name, new_tls_key().public_key(), NOW, hosts=hosts)


def test_a_broker_carries_names_and_addresses(authority: Authority) -> None:
    keystore, truststore = broker_keys(authority, ["kafka-1.example.org", "127.0.0.1", "::1"], NOW)
    assert keystore.startswith(b"-----BEGIN PRIVATE KEY-----")
    leaf = x509.load_pem_x509_certificates(keystore)[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["kafka-1.example.org"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert ExtendedKeyUsageOID.SERVER_AUTH in leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert x509.load_pem_x509_certificates(truststore) == [authority.certificate]


def test_no_certificate_outlives_the_authority(authority: Authority) -> None:
    late = authority.certificate.not_valid_after_utc - DAY
    leaf = authority.issue(PROFILES["site"], "clinic", new_tls_key().public_key(), late)
    assert leaf.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_an_authority_is_kept_and_found_again_under_its_passphrase(authority: Authority, tmp_path: Path) -> None:
    authority.save(tmp_path, b"a good one")
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600
    assert Authority.load(tmp_path, b"a good one").certificate == authority.certificate
    with pytest.raises(LocalError, match="is encrypted"):
        Authority.load(tmp_path)
    with pytest.raises(LocalError, match="another passphrase"):
        Authority.load(tmp_path, b"a bad one")


def test_a_key_without_its_certificate_or_with_anothers_is_no_authority(authority: Authority, tmp_path: Path) -> None:
    authority.save(tmp_path)
    with pytest.raises(LocalError, match="exists already"):
        Authority.new("another", NOW).save(tmp_path)
    (tmp_path / "ca.pem").write_bytes(pem((Authority.new("another", NOW).certificate,)))
    with pytest.raises(LocalError, match="do not belong together"):
        Authority.load(tmp_path)
    (tmp_path / "ca.pem").unlink()
    with pytest.raises(LocalError, match=r"ca\.pem is not there"):
        Authority.load(tmp_path)


def test_a_certificate_is_installed_beside_its_own_key_alone(authority: Authority, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    card = make_member_keys("clinic", here)
    make_member_keys("clinic", there)
    issued = certify(authority, card, [Role.SITE], NOW)
    assert install_beside(here / "clinic.pub", issued)
    assert certificate_in(here / "clinic.tls").public_key() == public_of(here / "clinic.tls")
    assert not install_beside(there / "clinic.pub", issued)
    assert not (there / "clinic.tls" / "cert.pem").exists()


def test_the_registrars_own_certificate_is_renewed_in_the_last_third_of_its_life(
    authority: Authority, tmp_path: Path
) -> None:
    key = tmp_path / "registrar.sign"
    folder = registrar_tls(authority, key, NOW)
    first = certificate_in(folder)
    assert is_fresh(folder, NOW + 59 * DAY)
    assert certificate_in(registrar_tls(authority, key, NOW + 59 * DAY)) == first
    assert not is_fresh(folder, NOW + 61 * DAY)
    renewed = certificate_in(registrar_tls(authority, key, NOW + 61 * DAY))
    assert renewed.not_valid_after_utc - first.not_valid_after_utc == 61 * DAY
    assert renewed.public_key() == first.public_key()


def test_every_role_has_a_profile_and_only_brokers_are_connected_to() -> None:
    assert {role.name.lower() for role in Role} <= PROFILES.keys()
    assert [one for one in PROFILES.values() if one.serves] == [BROKER]
    assert PROFILES["registrar"] == REGISTRAR


def test_a_registrars_key_under_a_passphrase_signs_the_same_and_is_no_raw_key_on_disk(tmp_path: Path) -> None:
    key = make_registrar_keys(tmp_path, b"a good one")
    path = tmp_path / "registrar.sign"
    assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert SigningKey.load(path, b"a good one").public == key.public
    with pytest.raises(LocalError, match="is encrypted"):
        SigningKey.load(path)
    with pytest.raises(LocalError, match="another passphrase"):
        SigningKey.load(path, b"a bad one")
