"""How a process reaches the broker: one frozen value, the same for every client that it opens.

Never:    goes without TLS unless that is asked for by its name, `plaintext-on-purpose`.
"""

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import LocalError
from schemas.records import CHUNK_BYTES
from transport.tls import context_of

TLS, PLAINTEXT = "tls", "plaintext-on-purpose"
SECURITIES = (TLS, PLAINTEXT)

SEALED_CHUNK_BYTES = CHUNK_BYTES + 16  # with the tag of AES-256-GCM

_BATCH_SLACK_BYTES = 8 * 1024
_FETCH_SLACK_BYTES = 8 * 1024  # eight whole chunks with their batch headers fit; one byte less and the last comes twice


def batch_bytes(*, chunks: int) -> int:
    """Size of a batch that takes so many sealed chunks."""
    return chunks * SEALED_CHUNK_BYTES + _BATCH_SLACK_BYTES


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """`bootstrap` is "host:port[,host:port]"; sizes are bytes, waits milliseconds or seconds as named.

    security   "tls", with certificates both ways, or "plaintext-on-purpose"
    tls        the folder with ca.pem, cert.pem and key.pem; needed for "tls" as soon as something is sent
    """

    bootstrap: str
    client_id: str
    security: str = TLS
    tls: Path | None = None
    request_timeout_ms: int = 120_000
    fetch_bytes: int = 2 * 1024 * 1024 + _FETCH_SLACK_BYTES
    batch_bytes: int = batch_bytes(chunks=4)
    fetch_wait_ms: int = 500
    backoff_min_s: float = 0.2
    backoff_max_s: float = 5.0

    def __post_init__(self) -> None:
        for address in self.bootstrap.split(","):
            _check_address(address)
        if not self.client_id or len(self.client_id) > 200:
            raise LocalError("client_id has to be 1 to 200 characters long", hint="give each process a name of its own")
        check_security(self.security)
        if not 0 < self.backoff_min_s <= self.backoff_max_s:
            raise LocalError(
                "backoff_min_s has to be above 0 and at most backoff_max_s", hint="the defaults are 0.2 and 5.0"
            )
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise LocalError(f"{name} has to be at least {least}", hint=f"leave {name} out to take the default")

    @property
    def context(self) -> ssl.SSLContext | None:
        """What connections are opened with; None without TLS. Raises LocalError when keys are missing or unfit."""
        if self.security == PLAINTEXT:
            return None
        if self.tls is None:
            raise LocalError(
                f"no keys for TLS are named, and without them {self.bootstrap} is not reached",
                hint=f'name their folder: --tls FOLDER, or `tls` under [kafka]; without TLS: security = "{PLAINTEXT}"',
            )
        return context_of(self.tls)

    @property
    def how(self) -> dict[str, Any]:
        """What every client of aiokafka is told alike. Raises LocalError as `context`."""
        context = self.context
        secured = {"security_protocol": "SSL", "ssl_context": context} if context else {}
        return {"bootstrap_servers": self.servers, "client_id": self.client_id, **secured}

    @property
    def servers(self) -> list[str]:
        """The addresses of `bootstrap`, one by one."""
        return [address.strip() for address in self.bootstrap.split(",")]


_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?\]")
_LEAST = {
    "request_timeout_ms": 1_000,
    "fetch_bytes": SEALED_CHUNK_BYTES + 1024,
    "batch_bytes": SEALED_CHUNK_BYTES + 1024,
    "fetch_wait_ms": 1,
}


def check_security(security: str) -> None:
    """Raises LocalError for a word that is none of `SECURITIES`."""
    if security not in SECURITIES:
        hint = f'leave it out: "{TLS}" is the default'
        if security == "plaintext":
            hint = f'{hint}; without TLS anybody on the way reads and changes what is sent: "{PLAINTEXT}" asks for that'
        raise LocalError(f'security = "{security}" is none of {", ".join(SECURITIES)}', hint=hint)


def _check_address(address: str) -> None:
    address = address.strip()
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and 0 < int(port) < 65536 and _HOST.fullmatch(host):
        return
    hint = "write host:port, for example 127.0.0.1:9092; several are separated by commas"
    if "://" in address:
        hint = f"leave {address.split('://')[0]}:// out; {hint}"
    elif ";" in address or " " in address:
        hint = "several addresses are separated by commas: host:port,host:port"
    elif ":" in host and not host.startswith("["):
        hint = f"{hint}; an IPv6 address stands in brackets, [::1]:9092"
    raise LocalError(f'"{address}" is no broker address', hint=hint)
