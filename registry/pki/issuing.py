"""What the authority gives out: a member's certificate for its request, a broker's keys, the registrar's own.

Never:    sees a member's private key.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from protocol.tls.files import KEY, certificate_in, install, pem, private_pem, public_of, read_private, write_private
from protocol.tls.renewal import Life
from protocol.tls.requests import new_tls_key, requested_key
from registry.keyfiles import MemberCard, tls_folder
from registry.pki.authority import Authority
from registry.pki.profiles import BROKER, REGISTRAR, RENEWER, Profile, profile_of
from schemas.errors import LocalError
from schemas.records.registrar import BROKER_NAME


@dataclass(frozen=True, slots=True)
class Issued:
    """What a member puts beside its key, in PEM: `chain` with the leaf first, and the roots to believe."""

    chain: bytes
    roots: bytes
    until: datetime


def certify(
    authority: Authority,
    card: MemberCard,
    roles: Iterable[int],
    now: datetime,
    *,
    lifetime: timedelta | None = None,
) -> Issued:
    """A certificate for the key of a member's card, under the name that the card has. Raises LocalError."""
    public = requested_key(card.request)
    leaf = authority.issue(profile_of(tuple(roles)), card.name, public, now, lifetime=lifetime)
    return Issued(pem((leaf, *authority.between)), pem(authority.roots), leaf.not_valid_after_utc)


def install_beside(card_file: Path, issued: Issued) -> bool:
    """Where the member's own key lies beside its card, on one machine, put the certificate there as well."""
    folder = tls_folder(card_file)
    leaf = x509.load_pem_x509_certificates(issued.chain)[0]
    if (own := public_of(folder)) is None or own != leaf.public_key():
        return False
    install(folder, issued.chain, issued.roots)
    return True


def broker_keys(authority: Authority, hosts: Iterable[str], now: datetime) -> tuple[bytes, bytes]:
    """keystore.pem and truststore.pem of one broker that is reached under these names."""
    key = new_tls_key()
    leaf = authority.issue(BROKER, BROKER_NAME, key.public_key(), now, hosts=hosts)
    return private_pem(key) + pem((leaf, *authority.between)), pem(authority.roots)


def is_fresh(folder: Path, now: datetime) -> bool:
    """Whether a folder for TLS holds a certificate in the first two thirds of its life."""
    try:
        leaf = certificate_in(folder)
    except LocalError:
        return False
    return (folder / KEY).exists() and not Life.of(leaf).is_due(now)


def registrar_tls(authority: Authority, private_key: Path, now: datetime) -> Path:
    """The registrar's own folder for TLS beside its private key; made, or its certificate renewed, where it is due.

    Raises LocalError.
    """
    return _own_tls(authority, REGISTRAR, private_key, now)


def renewer_tls(authority: Authority, private_key: Path, now: datetime) -> Path:
    """As `registrar_tls`, for the process that renews certificates."""
    return _own_tls(authority, RENEWER, private_key, now)


def _own_tls(authority: Authority, profile: Profile, private_key: Path, now: datetime) -> Path:
    folder = tls_folder(private_key)
    if is_fresh(folder, now):
        return folder
    if not (folder / KEY).exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_private(folder / KEY, new_tls_key())
    public = read_private(folder / KEY).public_key()
    leaf = authority.issue(profile, profile.name, public, now)
    install(folder, pem((leaf, *authority.between)), pem(authority.roots))
    return folder
