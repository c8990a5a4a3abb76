"""What kinds of certificates there are: what each may be used for, how long it lives, which names it carries.

Source:   RFC 5280 section 4.2.1.12 (extended key usage).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from schemas.records import Role

LIFETIME = timedelta(days=90)

_CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of certificate. `serves`: its holder is connected to, under the host names that it carries."""

    name: str
    serves: bool = False
    lifetime: timedelta = LIFETIME

    @property
    def usages(self) -> tuple[x509.ObjectIdentifier, ...]:
        return (ExtendedKeyUsageOID.SERVER_AUTH, *_CLIENT) if self.serves else _CLIENT


BROKER = Profile("broker", serves=True)
REGISTRAR = Profile("registrar")
RENEWER = Profile("renewer")
PROFILES: Mapping[str, Profile] = {
    one.name: one for one in (BROKER, REGISTRAR, RENEWER, *(Profile(role.name.lower()) for role in Role))
}


def profile_of(roles: tuple[int, ...]) -> Profile:
    """The kind that goes with a member's roles: all of them are clients, the first one names it."""
    return PROFILES[Role(min(roles)).name.lower()]
