"""Who belongs, as the registrar has said it last, and whose word holds by that.

Source: schemas/roster.py and protocol/commands.py, which it stands for.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from schemas.records import Command

FIRST_KEY = 1


@dataclass(frozen=True, slots=True)
class Roster:
    """`keys`: (site, number) of every signing key that is known; `revoked`: operators whose key was stolen."""

    sites: frozenset[str]
    keys: frozenset[tuple[str, int]]
    revoked: frozenset[str] = frozenset()
    serial: int = 1

    @classmethod
    def of(cls, sites: Iterable[str]) -> "Roster":
        """The first one, in which each site has its first key."""
        names = frozenset(sites)
        return cls(names, frozenset((name, FIRST_KEY) for name in names))

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(f"roster {self.serial}".encode()).digest()

    def without(self, site: str) -> "Roster":
        return replace(self, sites=self.sites - {site}, serial=self.serial + 1)

    def with_site(self, site: str) -> "Roster":
        return replace(self, sites=self.sites | {site}, serial=self.serial + 1)

    def with_key(self, site: str, key: int) -> "Roster":
        return replace(self, keys=self.keys | {(site, key)}, serial=self.serial + 1)

    def without_operator(self, operator: str) -> "Roster":
        return replace(self, revoked=self.revoked | {operator}, serial=self.serial + 1)


@dataclass(frozen=True, slots=True)
class Said:
    """A command on the log, and the operator who signed it."""

    operator: str
    command: Command


def holding(said: Iterable[Said], roster: Roster) -> tuple[Command, ...]:
    """The commands that hold: what was commanded with a key falls when the key is revoked."""
    return tuple(one.command for one in said if one.operator not in roster.revoked)
