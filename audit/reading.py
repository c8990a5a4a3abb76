"""Reads what a federation's topics say, each record once: what the registrar said, and a study's log.

Knows:    how far each study's topics were read, and the last record of each: where it is another one now, or the
          roster is, the study is read from its beginning again.
Never:    writes; waits longer than 10 s for a broker that does not answer.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field

from audit.study_log import StudyLog
from protocol.directory import Directory
from protocol.roster_memory import RosterMemory
from protocol.sealing import OpeningKeys
from schemas import topics
from schemas.errors import LocalError, PeerError
from schemas.plan import Plan
from transport.admin import COMMAND_S, Admin, within
from transport.errors import TopicMissing
from transport.reading.log import Entry, each_to_end
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.staying.patience import patient

Progress = Callable[[int, int], None]  # (records read, records there)


@dataclass(slots=True)
class _ReadSoFar:
    """A study's log under one plan and one roster, and the last record of each topic that was fed to it."""

    log: StudyLog
    roster: bytes | None
    last: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def nothing(cls, plan: Plan, directory: Directory, key: OpeningKeys | None) -> "_ReadSoFar":
        return cls(StudyLog(plan, directory, key), roster_digest(directory))

    def take(self, entry: Entry) -> None:
        self.log.feed(entry.topic, entry.value, entry.timestamp_ms, entry.since_ms)
        self.last[entry.topic] = entry

    def holds(self, plan: Plan, directory: Directory, there: Iterable[str]) -> bool:
        """Whether what was read still counts: another roster may revoke keys, a topic may be gone."""
        same = (self.log.plan.digest, self.roster) == (plan.digest, roster_digest(directory))
        return same and self.last.keys() <= set(there)


class _MadeAnewError(Exception):
    """A topic no longer holds the record that was read last: it was made anew, put back, or compacted."""


class FederationReader:
    """One registrar's federation at one broker; `key` opens what sites measured, where it is sealed to it."""

    def __init__(
        self,
        settings: KafkaSettings,
        registrar: bytes,
        *,
        key: OpeningKeys | None = None,
        memory: RosterMemory | None = None,
        progress: Progress = lambda done, total: None,
    ) -> None:
        """`registrar` is its public key, 32 bytes; `memory` is of the newest roster met."""
        self.settings, self.link, self.key = settings, Link(settings), key
        self._registrar, self._memory, self._progress = registrar, memory, progress
        self._studies: dict[str, _ReadSoFar] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    async def directory(self) -> Directory:
        """What the registrar said. Raises LocalError for another registrar's log or an older copy, TransientError."""
        directory = Directory(self._registrar, self._memory)
        fed: list[bool] = []

        def take(entry: Entry) -> None:
            if entry.value is not None:
                fed.append(feed_directory(directory, entry))

        await self._read([topics.MEMBERS, topics.PLANS], take, {})
        if fed and not any(fed):
            raise LocalError(
                f"the log at {self.settings.bootstrap} belongs to another registrar",
                hint="is it the right broker (--broker), and the right registrar.pub (--registrar)?",
            )
        if directory.behind:
            raise LocalError(directory.behind, hint=directory.to_do)
        return directory

    async def study_log(self, study: str, *also: str) -> StudyLog:
        """The study's log up to now, of those of its topics that are there; the same object, grown, when asked again.

        also   topics that are read too, and have to be there
        Raises LocalError when there is no such study, TopicMissing for one of `also`, TransientError.
        """
        async with self._turns.setdefault(study, asyncio.Lock()):
            directory = await self.directory()
            plan = published_plan(directory, study)
            known = self._studies.get(study) or _ReadSoFar.nothing(plan, directory, self.key)
            there = await self._there([*known.log.topic_names(), *known.last, *also])
            if not there.issuperset(also):
                raise TopicMissing(set(also) - there, self.settings.bootstrap)
            if not known.holds(plan, directory, there):
                known = _ReadSoFar.nothing(plan, directory, self.key)
                there = await self._there([*known.log.topic_names(), *also])
            try:
                await self._go_on(known, there)
            except _MadeAnewError:
                known = _ReadSoFar.nothing(plan, directory, self.key)
                await self._go_on(known, there)
            self._studies[study] = known
            await self._note_missing(known.log, there)
            return known.log

    async def _go_on(self, known: _ReadSoFar, names: Iterable[str]) -> None:
        """Read on from the last record of each topic, which is read once more: it has to be the same."""
        unmet = {name: known.last[name] for name in names if name in known.last}

        def take(entry: Entry) -> None:
            last = unmet.pop(entry.topic, None)
            if last is None:
                known.take(entry)
            elif (last.offset, last.key, last.value) != (entry.offset, entry.key, entry.value):
                raise _MadeAnewError

        await self._read(names, take, {name: last.offset for name, last in unmet.items()})
        if unmet:
            raise _MadeAnewError

    async def _there(self, names: Iterable[str]) -> set[str]:
        admin = Admin(self.settings, self.link)
        try:
            return await within(admin.existing(names), COMMAND_S, self.link)
        finally:
            await admin.close()

    async def _note_missing(self, log: StudyLog, there: set[str]) -> None:
        history = log.history
        history.missing = tuple(name for name in log.topic_names() if name not in there)
        history.forbidden = ()
        if history.missing:
            admin = Admin(self.settings, self.link)
            try:
                closed = await within(admin.forbidden(history.missing), COMMAND_S, self.link)
                history.close(closed)
            finally:
                await admin.close()

    async def _read(self, names: Iterable[str], take: Callable[[Entry], object], start: dict[str, int]) -> None:
        """Hand over what is on the topics, however long that takes, as long as the reading gets on."""
        async with patient(self.link, COMMAND_S) as renew:

            def moved(done: int, total: int) -> None:
                renew()
                self._progress(done, total)

            reading = each_to_end(self.settings, self.link, names, start=start, thin=True, moved=moved)
            async with aclosing(reading):
                async for entry in reading:
                    take(entry)


def feed_directory(directory: Directory, entry: Entry) -> bool:
    """Take one record; False when somebody else than the registrar wrote it: of no account then."""
    try:
        directory.feed(entry.topic, entry.key, entry.value)
    except PeerError:
        return False
    return True


def roster_digest(directory: Directory) -> bytes | None:
    return directory.membership.digest if directory.membership is not None else None


def published_plan(directory: Directory, study: str) -> Plan:
    """Raises LocalError when there is no such study, naming those that there are."""
    found = [plan for plan, _ in directory.plans.values() if plan.study == study]
    if not found:
        known = ", ".join(sorted({plan.study for plan, _ in directory.plans.values()})) or "none"
        raise LocalError(f"no study {study} on this federation", hint=f"published studies: {known}")
    return found[-1]
