"""The registrar's answer to a request: the certificate, and the roots to believe; checked before anything is installed.

Never:    holds a private key, or is installed for another name or another key than those that were asked for.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from cryptography import x509

from protocol.signing import Signs
from protocol.tls.files import KEY, install, public_of
from protocol.tls.renewal import is_issued
from protocol.tls.requests import subject_of
from registry.armour import ANSWER
from registry.joining.signed_file import read_signed, write_signed
from registry.pki.issuing import Issued
from schemas.errors import LocalError


@dataclass(frozen=True, slots=True)
class Answer:
    """name        of the member
    bootstrap   where the brokers are reached now
    chain       the certificate, leaf first, PEM
    roots       the authority's certificates, PEM
    """

    name: str
    bootstrap: str
    chain: bytes
    roots: bytes

    @classmethod
    def of(cls, name: str, bootstrap: str, issued: Issued) -> Self:
        return cls(name, bootstrap, issued.chain, issued.roots)

    def save(self, path: Path, key: Signs) -> None:
        """Write it, signed by the registrar. Raises LocalError."""
        write_signed(path, ANSWER, (self.name, self.bootstrap, self.chain, self.roots), key)

    @classmethod
    def load(cls, path: Path, registrar: bytes) -> Self:
        """Raises LocalError for a file that is missing, no answer, changed, or of another registrar."""
        values = read_signed(path, ANSWER, registrar)
        if len(values) != 4 or not isinstance(values[0], str) or not isinstance(values[1], str):
            raise LocalError(f"the answer {path} was made by another version", hint="ask the registrar for a new one")
        return cls(*values)

    @property
    def issued(self) -> Issued:
        return Issued(self.chain, self.roots, self.until)

    @property
    def until(self) -> datetime:
        """When the certificate runs out, UTC."""
        return self._leaf().not_valid_after_utc

    def with_leaf(self, leaf: bytes) -> "Answer":
        """The answer for a certificate (PEM) of the hospital's own authority, for which this one vouches."""
        return Answer(self.name, self.bootstrap, leaf + self.chain, self.roots)

    def install(self, name: str, folder: Path, now: datetime) -> None:
        """Put it beside the key in a member's folder for TLS.

        Raises LocalError, and changes nothing, when it is for another name or another key than lies there, has run
        out, or does not come from one of its own roots.
        """
        if self.name != name:
            raise LocalError(f"the answer is for {self.name}, and this is {name}", hint="ask for the one that is meant")
        leaf, own = self._leaf(), public_of(folder)
        if own is None:
            raise LocalError(f"{folder / KEY} is not there", hint="ask for a certificate first: `wardround site enrol`")
        if own != leaf.public_key():
            raise LocalError(
                f"the answer is for another key than {folder / KEY}",
                hint="it answers an earlier request: send the newest one, `wardround site enrol` shows its fingerprint",
            )
        if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
            raise LocalError(
                f"its certificate is valid from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} to "
                f"{leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, and here it is {now:%Y-%m-%d %H:%M}",
                hint="is the clock of this machine right?",
            )
        if leaf.subject != subject_of(name):
            raise LocalError(
                f"the certificate is for {leaf.subject.rfc4514_string()}, and brokers know this site as "
                f"{subject_of(name).rfc4514_string()}",
                hint="have it issued with just this subject",
            )
        self._check_issuer(leaf)
        install(folder, self.chain, self.roots)

    def _leaf(self) -> x509.Certificate:
        return x509.load_pem_x509_certificates(self.chain)[0]

    def _check_issuer(self, leaf: x509.Certificate) -> None:
        _, *between = x509.load_pem_x509_certificates(self.chain)
        if not is_issued(leaf, between, x509.load_pem_x509_certificates(self.roots)):
            raise LocalError(
                "its certificate is not issued by one of its own roots", hint="ask the registrar for another"
            )
