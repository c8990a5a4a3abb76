"""Keeps a service's certificate alive: asks for the next one in time, takes it up, and tells how long this one lasts.

Knows:    request and answer lie on the log; the key stays the same; connections that are open go on.
Never:    takes up what `check_next` refuses; believes new roots without the registrar's signature.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from protocol.signing import SigningKey, key_id, verify
from protocol.tls.files import AUTHORITY, KEY, certificate_in, install, read_private, roots_in, roots_of
from protocol.tls.renewal import Life, check_next
from protocol.tls.requests import request_for
from schemas import topics
from schemas.errors import FederationError, PeerError
from schemas.records import Certificate, Renewal, Signed
from transport import tls
from transport.errors import TopicMissing
from transport.ports import Sends
from transport.reading.entry import Entry
from transport.reading.log import read_to_end
from transport.settings import KafkaSettings
from transport.staying.link import Link

LOOK_MAX_S = 600.0  # a new root is taken up so soon, also while the certificate is fresh
LOOK_MIN_S = 1.0
SAID_AGAIN_S = 24 * 3600.0

log = structlog.get_logger("transport")


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose certificate it is.

    signer      the key that signs what the member asks for, as the roster stands now
    registrar   whether a key is the registrar's, by its id and the public key to verify with
    """

    name: str
    folder: Path
    signer: Callable[[], SigningKey]
    registrar: Callable[[bytes], bytes | None]


class CertificateKeeper:
    """`run` for as long as the service lives; `days_left` after the first look."""

    def __init__(
        self,
        holder: Holder,
        settings: KafkaSettings,
        link: Link,
        writer: Sends,
        *,
        on_days_left: Callable[[float], object] = lambda days: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._holder, self._settings, self._link, self._writer = holder, settings, link, writer
        self._on_days_left, self._clock = on_days_left, clock
        self._read_up_to: dict[str, int] = {}
        self._asked_at: datetime | None = None
        self._warned: tuple[int, datetime] | None = None

    async def run(self) -> None:
        """For ever. What goes wrong is said and tried again; nothing here ends the service."""
        while True:
            wait_s = LOOK_MIN_S
            try:
                wait_s = await self._look()
            except TopicMissing:  # of a federation whose registrar is older: certificates are renewed by hand there
                wait_s = LOOK_MAX_S
            except FederationError as error:
                log.warning("certificate not looked after", reason=str(error), hint=getattr(error, "hint", ""))
                wait_s = 30.0
            await asyncio.sleep(wait_s)

    async def _look(self) -> float:
        """One look; returns how long until the next."""
        if tls.refresh():  # somebody has put other files there by hand
            log.info("other keys for TLS taken up", folder=str(self._holder.folder))
        await self._take_up()
        life, now = Life.of(certificate_in(self._holder.folder)), self._clock()
        self._on_days_left(life.days_left(now))
        self._warn(life, now)
        if life.is_due(now) and (self._asked_at is None or now >= self._asked_at + life.asked_again_after()):
            await self._ask()
            self._asked_at = now
        span_s = life.asked_again_after().total_seconds() / 2
        return min(LOOK_MAX_S, max(LOOK_MIN_S, span_s))

    async def _ask(self) -> None:
        holder = self._holder
        request = request_for(read_private(holder.folder / KEY), holder.name)
        record = holder.signer().sign(Renewal(holder.name, request))
        await self._writer.send(topics.renewals(holder.name), record.to_bytes(), holder.name.encode())
        log.info("certificate asked for", member=holder.name)

    async def _take_up(self) -> None:
        start = dict(self._read_up_to)
        for entry in await read_to_end(self._settings, self._link, [topics.CERTIFICATES], start=start):
            self._read_up_to[entry.topic] = entry.offset + 1
            if entry.key == self._holder.name.encode() and entry.value is not None:
                self._hear(entry)

    def _hear(self, entry: Entry) -> None:
        try:
            self._take(Signed.from_bytes(entry.value or b""))
        except PeerError as error:
            log.debug("certificate passed over", offset=entry.offset, reason=str(error))

    def _take(self, signed: Signed) -> None:
        holder, public = self._holder, self._holder.registrar(signed.key_id)
        record = verify(signed, Certificate, public) if public is not None else Certificate.from_bytes(signed.payload)
        if record.name != holder.name:
            raise PeerError("a certificate under another name")
        believed = roots_in(holder.folder)
        if public is not None and record.roots != (holder.folder / AUTHORITY).read_bytes():
            believed = roots_of(record.roots)
        own, now = certificate_in(holder.folder), self._clock()
        leaf = check_next(holder.name, own, record.chain, believed, now)
        roots = record.roots if public is not None else (holder.folder / AUTHORITY).read_bytes()
        install(holder.folder, record.chain, roots)
        tls.refresh()
        self._asked_at = None
        log.info("certificate renewed", member=holder.name, until=f"{leaf.not_valid_after_utc:%Y-%m-%d %H:%M}")

    def _warn(self, life: Life, now: datetime) -> None:
        days = life.warned_of(now)
        if days is None or self._asked_at is None:
            return
        if self._warned is not None and (
            self._warned[0] == days and (now - self._warned[1]).total_seconds() < SAID_AGAIN_S
        ):
            return
        self._warned = (days, now)
        log.warning(
            "the certificate for TLS runs out and was not renewed yet",
            member=self._holder.name,
            days_left=round(life.days_left(now), 1),
            hint="does the registrar's `wardround registrar renew` run? By hand: `wardround site enrol`, and mail that",
        )


def registrar_of(newest: Callable[[], bytes]) -> Callable[[bytes], bytes | None]:
    """Of the registrar's newest key, 32 bytes: a former one, perhaps stolen, brings no new roots."""
    return lambda wanted: newest() if wanted == key_id(newest()) else None
