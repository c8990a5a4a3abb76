"""Which name leads to which broker, and how much one address may ask for.

Knows:    a hospital comes from one address, that of its proxy, with all its processes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.errors import LocalError

_NAME = re.compile(
    r"(?=.{1,253}$)(?!.*\.[0-9]+$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+"
)
_TARGET = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Limits:
    """What is let in.

    connections             at once, of all
    source_connections      at once, of one address
    source_connects         new ones of one address in 10 s: a site begins with 7, fifteen commands of a script take 96,
                            and what was refused counts too, so that a small number keeps out who tries on
    """

    connections: int = 4000
    source_connections: int = 200
    source_connects: int = 300

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise LocalError(f"{name} has to be at least 1", hint=f"leave {name} out to take the default")


def routes(port: int, brokers: Mapping[str, str], bootstrap: str) -> dict[str, tuple[str, ...]]:
    """Name -> where it leads: each broker's own name to it, and `bootstrap`, where there is one, to any of them.

    Raises LocalError where a port, a name or an address is none: none may write a line of the configuration.
    """
    if not 0 < port < 65536:
        raise LocalError(f"port {port} is none: ports are 1 to 65535", hint="firewalls let 443 out")
    if not brokers:
        raise LocalError("no broker is named", hint="name each broker's advertised name and where it listens")
    found: dict[str, tuple[str, ...]] = {name.lower(): (target,) for name, target in brokers.items()}
    if bootstrap:
        found[bootstrap.lower()] = tuple(dict.fromkeys(brokers.values()))
    if len(found) != len(brokers) + bool(bootstrap):
        raise LocalError("a name leads to two places", hint="each broker has a name of its own, and bootstrap another")
    for name, targets in found.items():
        if not _NAME.fullmatch(name):
            hint = "SNI takes names alone: letters, digits, dashes and dots, as kafka.example.org"
            raise LocalError(f"{name!a:.80} is no host name", hint=hint)
        for target in targets:
            shape = _TARGET.fullmatch(target)
            if shape is None or not 0 < int(shape[1]) < 65536:
                raise LocalError(f"{target!a:.80} is no broker's address", hint="write host:port, as 10.0.0.5:9093")
    return found
