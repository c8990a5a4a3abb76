"""When a certificate is renewed, when its end is warned of, and which certificate may take its place.

Knows:    a certificate is renewed from two thirds of its life on, for the same key, by whoever holds that key.
Never:    takes one for another name or another key, one that ends earlier, or one of a root that was not believed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from schemas.errors import PeerError

RENEWED_FROM = 2 / 3  # of its life
ASKED_AGAIN = 1 / 60  # of its life: so long an answer is waited for before it is asked again
WARNED_DAYS = (30, 7, 1)


@dataclass(frozen=True, slots=True)
class Life:
    """From when to when a certificate is valid, UTC."""

    begin: datetime
    end: datetime

    @classmethod
    def of(cls, certificate: x509.Certificate) -> "Life":
        return cls(certificate.not_valid_before_utc, certificate.not_valid_after_utc)

    @property
    def length(self) -> timedelta:
        return self.end - self.begin

    def is_due(self, now: datetime) -> bool:
        """Whether the next certificate should be asked for."""
        return now >= self.begin + self.length * RENEWED_FROM

    def asked_again_after(self) -> timedelta:
        """How long an answer is waited for."""
        return self.length * ASKED_AGAIN

    def days_left(self, now: datetime) -> float:
        """Below zero once it has run out."""
        return (self.end - now) / timedelta(days=1)

    def warned_of(self, now: datetime) -> int | None:
        """The smallest of WARNED_DAYS that is not yet over; None while there is more time, or it is not due yet.

        One that lives shorter than a warning's days would be warned of all its life.
        """
        left = self.days_left(now)
        if not self.is_due(now):
            return None
        return next((days for days in sorted(WARNED_DAYS) if left <= days), None)


def check_next(
    name: str, own: x509.Certificate, chain: bytes, believed: Iterable[x509.Certificate], now: datetime
) -> x509.Certificate:
    """The leaf of `chain` (PEM), which may take the place of `own`.

    believed   the roots that this member believes
    Raises PeerError for one of another name or key, one that is not valid or ends no later, or of no believed root.
    """
    try:
        leaf, *between = x509.load_pem_x509_certificates(chain)
    except ValueError:
        raise PeerError("what should be a chain of certificates is none") from None
    if name_of(leaf) != name:
        raise PeerError(f"a certificate for {name_of(leaf)} instead of {name}")
    if leaf.public_key() != own.public_key():
        raise PeerError("a certificate for another key")
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        raise PeerError("a certificate that is not valid now")
    if leaf.not_valid_after_utc <= own.not_valid_after_utc:
        raise PeerError("a certificate that ends no later than the one in use")
    if not is_issued(leaf, between, believed):
        raise PeerError("a certificate of an authority that is not believed")
    return leaf


def is_issued(leaf: x509.Certificate, between: Iterable[x509.Certificate], roots: Iterable[x509.Certificate]) -> bool:
    """Whether a chain leads from the leaf to one of the roots, over at most the certificates between, in any order."""
    left, known, at = list(between), list(roots), leaf
    while True:
        if any(_issued_by(at, root) for root in known):
            return True
        step = next((one for one in left if _issued_by(at, one)), None)
        if step is None:
            return False
        left.remove(step)
        at = step


def name_of(certificate: x509.Certificate) -> str:
    """The member's name in the subject; empty where there is none."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
