"""A new key for the registrar, in mid-study: every member follows by the log, and whoever kills this loses no key.

Knows:    what an earlier try left, on the disk and on the log, is gone on with.
Never:    touches the key in use before the log names the next one; makes a key where the log is not this registrar's.

In this order: the new key is written as registrar.sign.next; the log is told of it, signed by the former; a roster
follows under the new one; the former is copied beside as registrar.sign.1a2b3c4d, the new one renamed over it; last
registrar.pub.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from protocol.key_files import read_registrar_key, retired_beside
from protocol.registrar_keys import hand_on
from protocol.roster_memory import RosterMemory
from protocol.signing import SigningKey, key_id, under
from registry.on_log import OnLog
from registry.registrar import Registrar, next_serial
from registry.rotation import Disk, KeyFile
from schemas import topics
from schemas.errors import LocalError
from schemas.records import Roster, Signed
from transport.admin import COMMAND_S, within
from transport.reading.entry import Entry
from transport.reading.log import read_to_end
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.writing.writer import Writer

_BEGUN = "the former key is in use still, and the new one is kept; run it again"


class Log(Protocol):
    """What a rotation asks of the log. Everything may be asked again."""

    async def read(self) -> Sequence[Entry]:
        """All that is on the topics of members and plans."""

    async def hand_on(self, signed: Signed) -> None:
        """Put the record of a next key there."""

    async def publish_roster(self, key: SigningKey, memory: RosterMemory) -> Roster:
        """The next roster under this key; the newest one where it says just that."""


@dataclass(frozen=True, slots=True)
class RegistrarRotated:
    """What became of it; `resumed`: an earlier try was finished, no further key was made."""

    former: bytes  # key_id
    public: bytes
    roster: Roster
    retired: tuple[Path, ...]  # where all former keys lie
    resumed: bool

    @property
    def fingerprint(self) -> str:
        """Of the new key, as it is read out."""
        return key_id(self.public).hex()


async def rotate_registrar_key(
    path: Path, on: Log, disk: Disk | None = None, passphrase: bytes | None = None
) -> RegistrarRotated:
    """Hand the registrar's key at `path` on to a new one. Run again after it was interrupted, it goes on.

    Raises LocalError where there is no key or no roster, the log is another registrar's or an older one, or a file
    cannot be written; TransientError when the broker is not reached. No key is lost by any of them.
    """
    files, entries = _Files(path, disk or Disk(), under(passphrase)), await on.read()
    try:
        begun = files.begun
        lost = _lost(files, entries) if begun is None else None
        former, new = begun or lost or files.made(_read_as(files.key, entries))
        memory = _memory(path, former, new)
        met = memory.newest.serial if memory.newest is not None and lost is None else 0
        await _tell(on, _read_as(former, entries), former, new, met)
        roster = await on.publish_roster(new, memory)
        files.install(former)
    except OSError as error:
        raise LocalError(f"the key {path} is not rotated yet: {error.strerror}", hint=_BEGUN) from None
    return RegistrarRotated(former.key_id, new.public, roster, tuple(retired_beside(path)), bool(begun or lost))


class _Files:
    """registrar.sign with what lies beside it, and registrar.pub."""

    def __init__(self, path: Path, disk: Disk, kind: type[SigningKey]) -> None:
        self._path, self._public, self._disk, self._kind = path, path.with_suffix(".pub"), disk, kind
        self._file = KeyFile(path, kind, disk)

    @property
    def key(self) -> SigningKey:
        return self._kind.load(self._path)

    @property
    def retired(self) -> list[SigningKey]:
        return [self._kind.load(one) for one in retired_beside(self._path)]

    @property
    def begun(self) -> tuple[SigningKey, SigningKey] | None:
        """Former and new key of a rotation that was not ended; None where there is none."""
        if self._file.has_next:
            return self.key, self._kind.load(self._file.next)
        if not self._public.exists():
            return None
        public = read_registrar_key(self._public)
        return next(((one, self.key) for one in self.retired if one.public == public), None)

    def made(self, on_log: OnLog) -> tuple[SigningKey, SigningKey]:
        """The key in use, and a new one. Raises LocalError, and makes none, where the log has no place for it."""
        _refuse_no_place(on_log)
        on_log.refuse_handed_on()
        if not self._public.exists():  # by it an interrupted rotation is told from one that has not begun
            self._disk.write_public(self._public, self.key.public)
        self._file.prepare()
        return self.key, self._kind.load(self._file.next)

    def install(self, former: SigningKey) -> None:
        """The new key in the place of the former one, and its public half."""
        if self._file.has_next:
            self._file.install()
        assert self.key.public != former.public
        self._disk.write_public(self._public, self.key.public)


def _read_as(key: SigningKey, entries: Sequence[Entry]) -> OnLog:
    """The log as it is to whoever holds this key."""
    found = OnLog(key.public)
    found.read(entries)
    return found


def _lost(files: _Files, entries: Sequence[Entry]) -> tuple[SigningKey, SigningKey] | None:
    """Former and new key where the log is a copy of before it was handed on; None where it is not."""
    if _read_as(files.key, entries).members:
        return None
    for one in files.retired:
        there = _read_as(one, entries)
        if there.members and there.keys.newest == one.public:
            return one, files.key
    return None


async def _tell(on: Log, on_log: OnLog, former: SigningKey, new: SigningKey, met: int) -> None:
    """The log names the new key, once."""
    if on_log.keys.forked:
        raise LocalError(on_log.keys.forked, hint="the key was stolen: see docs/operations/rotate-keys.md")
    _refuse_no_place(on_log)
    if new.public in on_log.keys:
        return
    on_log.refuse_handed_on()
    assert on_log.roster is not None
    next_serial(on_log.roster.serial, met, restore=False)
    await on.hand_on(hand_on(former, new, on_log.roster.serial))


def _refuse_no_place(on_log: OnLog) -> None:
    if on_log.foreign and not on_log.members:
        raise LocalError(
            "the log belongs to another registrar; nothing was published",
            hint="is it the right broker (--broker), and the right key (--key)?",
        )
    if on_log.roster is None:
        raise LocalError(
            "there is no roster yet: nobody believes the key that would be handed on",
            hint="publish one with `wardround registrar roster`",
        )


def _memory(path: Path, former: SigningKey, new: SigningKey) -> RosterMemory:
    """What this registrar has published: under the new key, where it has published anything under it."""
    newer = RosterMemory.beside(path, new.public)
    return newer if newer.newest is not None else RosterMemory.beside(path, former.public)


class KafkaLog:
    """The log of a federation's broker; each step raises TransientError after 10 s without an answer."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings, self._link = settings, Link(settings)

    async def read(self) -> Sequence[Entry]:
        """See Log."""
        names = [topics.MEMBERS, topics.PLANS]
        return await within(read_to_end(self._settings, self._link, names), COMMAND_S, self._link)

    async def hand_on(self, signed: Signed) -> None:
        """See Log."""
        writer, place = Writer(self._settings, self._link), topics.registrar_key(signed.key_id)
        try:
            await within(writer.send(topics.MEMBERS, signed.to_bytes(), place), COMMAND_S, self._link)
        finally:
            await writer.close()

    async def publish_roster(self, key: SigningKey, memory: RosterMemory) -> Roster:
        """See Log."""
        async with Registrar(self._settings, key, memory=memory) as office:
            return await office.publish_roster()
