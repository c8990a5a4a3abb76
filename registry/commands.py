"""An operator's act on a study: reads how it stands, signs one command, and sees to it that the command holds.

Knows:    the registrar's public key, the operator's private one.
Never:    waits for the coordinator: a command stands on the log and is obeyed by whoever leads, now or later.
"""

import asyncio
import difflib
from contextlib import suppress
from dataclasses import dataclass

from audit.federation import AsyncFederation
from audit.history import StudyHistory
from protocol.digests import record_digest
from protocol.rings import SignRing
from protocol.roster_memory import RosterMemory
from protocol.signing import SigningKey
from schemas import topics
from schemas.errors import LocalError, PeerError, TransientError
from schemas.records import Action, Command, Role
from schemas.roster import Membership
from schemas.text import is_hidden
from transport.admin import COMMAND_S, within
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.writing.writer import Writer

REASON_BYTES_MAX = 200
TRIES = 3  # two operators may take the same serial at the same moment


@dataclass(frozen=True, slots=True)
class Given:
    """A command that holds; `new` is false when the study stood like that already and nothing was written."""

    operator: str
    serial: int | None
    version: int
    new: bool


async def command(
    settings: KafkaSettings, registrar: bytes, keys: SignRing, study: str, action: Action, *, site: str | None = None,
    reason: str, memory: RosterMemory | None = None,
) -> Given:  # fmt: skip
    """Write one command. Raises LocalError when it could not hold or would mean nothing, TransientError after 10 s.

    registrar   the registrar's public key, 32 bytes
    keys        the operator's
    site        whom to exclude or include
    memory      of the newest roster that this operator has met
    reason      a line of at most 200 bytes, for everybody to read
    """
    check_reason(reason)
    async with AsyncFederation(
        settings.bootstrap, registrar_key=registrar, memory=memory, tls=settings.tls, security=settings.security
    ) as federation:
        for _ in range(TRIES):
            history = await federation.history(study)
            operator, key = _operator(await federation.membership(), keys, study)
            wanted, version = _command(history, action, site, reason), history.version
            if wanted is None:
                return Given(operator, None, version, new=False)
            await _write(settings, key, wanted)
            held = (await federation.history(study)).commands
            if any(record_digest(one.command.to_bytes()) == record_digest(wanted.to_bytes()) for one in held):
                return Given(operator, wanted.serial, version, new=True)
    raise TransientError(f"other operators of {study} were quicker {TRIES} times; look at `wardround status {study}`")


def check_reason(reason: str) -> None:
    """Raises LocalError for a reason that is empty, too long, or more than a line of text."""
    if not reason.strip():
        raise LocalError("the reason is empty", hint='say why in a few words: --reason "scanner replaced"')
    odd = next((char for char in reason if is_hidden(char)), None)
    if odd is not None:
        raise LocalError(f"the reason holds {odd!a}, which is no text", hint="write one line of plain text")
    size = len(reason.encode())
    if size > REASON_BYTES_MAX:
        raise LocalError(
            f"the reason has {size} bytes, at most {REASON_BYTES_MAX} fit",
            hint="shorten it; letters with accents take two bytes",
        )


def _operator(membership: Membership | None, keys: SignRing, study: str) -> tuple[str, SigningKey]:
    """Whose keys these are, and which one signs. Raises LocalError where none is an operator's."""
    for name in membership.with_role(Role.OPERATOR, study) if membership is not None else ():
        assert membership is not None
        with suppress(PeerError, LocalError):
            key = keys.signer(name, membership)
            membership.signing_key(name, key.key_id)
            return name, key
    raise LocalError(
        f"key {keys.key_ids[0].hex()} is no operator's of study {study}",
        hint="the registrar makes operators: `wardround registrar approve NAME.pub --role operator`",
    )


def _command(history: StudyHistory, action: Action, site: str | None, reason: str) -> Command | None:
    """The next command; None when the study stands like that already."""
    orders = history.orders
    if history.final or orders.stopped:
        raise LocalError(f"study {history.study} has ended; it takes no commands any more")
    if action is Action.CLOSE and history.version < 0:
        raise LocalError(f"study {history.study} has no version yet, so no round to close")
    if site is not None and site not in history.sites:
        near = difflib.get_close_matches(site, history.sites, n=1)
        hint = f"did you mean {near[0]}?" if near else f"sites: {', '.join(history.sites)}"
        raise LocalError(f"{site} is no site of study {history.study}", hint=hint)
    stands = {
        Action.PAUSE: orders.paused,
        Action.RESUME: not orders.paused,
        Action.EXCLUDE: site in orders.excluded,
        Action.INCLUDE: site not in orders.excluded,
        Action.CLOSE: history.version in orders.closing,
    }
    if stands.get(action, False):
        return None
    serial = history.commands[-1].command.serial + 1 if history.commands else 1
    version = history.version if action is Action.CLOSE else None
    try:
        return Command(history.study, serial, action, site, version, reason)
    except ValueError as error:
        raise LocalError(str(error)) from None


async def _write(settings: KafkaSettings, key: SigningKey, wanted: Command) -> None:
    link = Link(settings)
    writer = Writer(settings, link)
    try:
        sent = writer.send(topics.commands(wanted.study), key.sign(wanted).to_bytes())
        await within(sent, COMMAND_S, link)
    finally:
        await asyncio.shield(writer.close())
