"""Sections that every service's settings share: where Kafka is, which keys, which metrics port, how much is logged."""

from dataclasses import dataclass
from pathlib import Path

from schemas.codec import ID

LEVELS = ("debug", "info", "warning", "error")


def check_name(name: str) -> None:
    """Raises ValueError for a name that no member of a federation can have."""
    try:
        ID.pack(name)
    except ValueError:
        raise ValueError(
            f"name `{name:.80}` is no member's name: those have a-z, 0-9 and - alone, 1 to 40 characters. Write it as "
            "the registrar did"
        ) from None


@dataclass(frozen=True, slots=True)
class Kafka:
    """`bootstrap` is "host:port[,host:port]".

    security   "tls", or "plaintext-on-purpose": then whoever is on the way reads and changes what is sent
    tls        the folder with ca.pem, cert.pem and key.pem
    proxy      how connections leave the house: "none", "environment" (HTTPS_PROXY, NO_PROXY), or "http://host:port";
               proxy_user and proxy_password_file (mode 0600) for one that asks who we are (Basic)
    """

    bootstrap: str
    security: str = "tls"
    tls: Path | None = None
    proxy: str = "none"
    proxy_user: str = ""
    proxy_password_file: Path | None = None
    fetch_wait_ms: int = 500


@dataclass(frozen=True, slots=True)
class Keys:
    """Paths of this member's private keys, and of the registrar's public key pinned at enrolment."""

    signing: Path
    opening: Path
    registrar: Path


@dataclass(frozen=True, slots=True)
class Metrics:
    """Where `/metrics` is served; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 9464

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise ValueError(f"port {self.port} lies outside 0..65535")


@dataclass(frozen=True, slots=True)
class Log:
    level: str = "info"

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError(f"level `{self.level}` is none of {', '.join(LEVELS)}")
