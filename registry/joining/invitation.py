"""An invitation: all that a site has to believe from the start, so that nobody types a fingerprint.

Knows:    whom it comes from has to be trusted as far as the way on which it came: it names registrar and root.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cryptography import x509

from protocol.signing import Signs, key_id
from registry.armour import INVITATION
from registry.joining.signed_file import read_signed, write_signed
from schemas.codec import ID, Text
from schemas.errors import LocalError
from transport.settings import KafkaSettings

_NAME = Text(120)
_REGISTRAR_AT = 3


@dataclass(frozen=True, slots=True)
class Invitation:
    """federation   its name, for people
    bootstrap    where its brokers are reached, "host:port[,host:port]"
    roots        the authority's certificates, PEM
    registrar    the registrar's Ed25519 public key, 32 bytes
    studies      names of studies that the site is asked to look at
    """

    federation: str
    bootstrap: str
    roots: bytes
    registrar: bytes
    studies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError for what no invitation may hold, LocalError for an address."""
        _NAME.pack(self.federation)
        KafkaSettings(self.bootstrap, "invitation")
        if len(self.registrar) != 32:
            raise ValueError("a registrar's key has 32 bytes")
        x509.load_pem_x509_certificates(self.roots)
        for study in self.studies:
            ID.pack(study)

    @property
    def fingerprint(self) -> str:
        """The registrar's, as `registrar keys` shows it."""
        return key_id(self.registrar).hex()

    def save(self, path: Path, key: Signs) -> None:
        """Write it, signed by the registrar. Raises LocalError."""
        values = (self.federation, self.bootstrap, self.roots, self.registrar, self.studies)
        write_signed(path, INVITATION, values, key)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises LocalError for a file that is missing, no invitation, or changed on its way."""
        federation, bootstrap, roots, registrar, studies = _five(path)
        try:
            return cls(federation, bootstrap, roots, registrar, tuple(studies))
        except (ValueError, TypeError):
            raise LocalError(
                f"the invitation {path} was made by another version", hint="ask the registrar for a new one"
            ) from None


def _five(path: Path) -> list[Any]:
    values = read_signed(path, INVITATION, None, _REGISTRAR_AT)
    if len(values) != 5:
        raise LocalError(f"the invitation {path} was made by another version", hint="ask the registrar for a new one")
    return values
