"""One study as its topics tell it: checks every record, keeps the history, and knows where each version lies.

Knows:    who may have signed what; the chain of `rounds`; epoch keys that are sealed to one member.
Never:    reads a topic itself; a record that does not hold is left out and said in one log line.
"""

import time
from collections.abc import Mapping
from contextlib import suppress

import structlog

from audit.history import Commanded, StudyHistory, Told
from protocol.commands import CommandLog
from protocol.directory import Directory
from protocol.evaluations import measured_values, sealed_to, verify_evaluation
from protocol.rounds import RoundsRecord, RoundsView
from protocol.sealing import OpeningKeys
from protocol.signing import verify, verify_update
from protocol.written import read_epoch_key, read_receipt, read_rounds
from runtime.lines import LineBudget
from schemas import topics
from schemas.codec import Record
from schemas.errors import PeerError
from schemas.plan import Plan
from schemas.records import (
    Announcement,
    AskAgain,
    BodyAt,
    EpochKey,
    Evaluation,
    Header,
    Offer,
    OpenEvaluation,
    Presence,
    Receipt,
    Signed,
    kind_of,
)
from schemas.roster import Membership
from schemas.text import plain

_OFFERS: dict[int, type[Record]] = {record.KIND: record for record in (Offer, Presence)}
SIGNS_MAX = 10_000
log = structlog.get_logger()


class StudyLog:
    """Feed it the records of `topic_names` in the order of each topic; read `history`, `models` and `epoch_keys`."""

    def __init__(self, plan: Plan, directory: Directory, keys: OpeningKeys | None = None) -> None:
        """`keys` open what sites measured, where they are the coordinator's or an auditor's."""
        self._opening = keys
        self.plan = plan
        self.history = StudyHistory(plan, plan.digest)
        self.models: dict[int, tuple[BodyAt, int]] = {}  # version -> (where its body lies, key epoch)
        self.epoch_keys: dict[tuple[int, str], EpochKey] = {}  # (epoch, member)
        self._directory = directory
        self._commands = CommandLog(plan.study)
        self._receipts: dict[str, Receipt] = {}
        self._lines = LineBudget()
        self._rounds = RoundsView(plan.study, plan.digest, trustees=len(plan.masking.trustees))
        self._signs: dict[tuple[str, bytes], Presence] = {}  # verified, by topic and value: the same bytes come again
        self.meet_sites()

    @property
    def study(self) -> str:
        return self.plan.study

    def meet_sites(self) -> None:
        """Take up sites that the newest roster names; to be called when membership has changed."""
        self._signs.clear()  # a key may be revoked
        membership = self._directory.membership
        listed = membership.sites(self.study) if membership else ()
        for site in self.history.sites.values():
            site.enrolled = site.name in listed
        for name in listed:
            self.history.site(name).institution = plain(membership.members[name].institution) if membership else ""
        self._judge_commands()

    def topic_names(self) -> list[str]:
        """Everything a follower reads, the keys aside."""
        study = self.study
        own = (topics.rounds(study), topics.receipts(study), topics.commands(study))
        return [*own, *(topics.offers(name) for name in self.history.sites)]

    def feed(self, topic: str, value: bytes | None, at_ms: int, since_ms: int | None = None) -> bool:
        """Take one record of the study's topics; False when it told nothing new, or does not hold.

        since_ms   the same was said since then without a gap, in records that are not read
        """
        if value is None:
            return False
        try:
            if topic == topics.commands(self.study):
                return self._command(value, at_ms)
            if (known := self._signs.get((topic, value))) is not None:
                self.history.feed(known, at_ms, since_ms)
                return True
            return self._take(topic, value, at_ms)
        except PeerError as error:
            self._leave_out(topic, error)
            return False

    def _leave_out(self, topic: str, error: PeerError) -> None:
        self.history.left_out[topic] += 1
        unsaid = self._lines.ask(topic, time.monotonic())
        if unsaid is not None:
            log.warning("record left out", topic=topic, reason=str(error), unsaid=unsaid)

    def _take(self, topic: str, value: bytes, at_ms: int) -> bool:
        membership = self._directory.membership
        if topic == topics.rounds(self.study):
            return self._round(read_rounds(value, membership, self.study), at_ms)
        if topic == topics.receipts(self.study):
            return self._receipt(read_receipt(value, membership, self.study), at_ms)
        if topic == topics.keys(self.study):
            key = read_epoch_key(value, membership, self.study)
            known = self.epoch_keys.setdefault((key.epoch, key.member), key)
            if known.key_id not in self._active_keys(key.member):
                self.epoch_keys[key.epoch, key.member] = key
            return True
        return self._offered(topic, Signed.from_bytes(value), at_ms)

    def _active_keys(self, member: str) -> set[bytes]:
        with suppress(PeerError):
            return {self._membership().opening_key(member).key_id}
        return set()

    def _receipt(self, told: Receipt, at_ms: int) -> bool:
        known = self._receipts.get(told.site)
        if told.is_older_than(known):
            raise PeerError(f"a receipt of {told.site} that was copied from earlier")
        self._receipts[told.site] = told
        self.history.feed(told, at_ms)
        return told != known

    def _command(self, value: bytes, at_ms: int) -> bool:
        self._commands.add(value, self._directory.membership, at_ms=at_ms)
        before = list(self.history.commands)
        self._judge_commands()
        return before != self.history.commands

    def _judge_commands(self) -> None:
        """Which commands hold is a matter of the newest roster, so all of them are judged anew."""
        judged = self._commands.judge(self._directory.membership)
        self.history.commands = [
            Commanded(one.at_ms, one.operator, one.command) for one in judged if one.command is not None
        ]
        self.history.commands_void = len(judged) - len(self.history.commands)

    def _round(self, record: RoundsRecord, at_ms: int) -> bool:
        if not self._rounds.add(record) or isinstance(record, AskAgain):
            return False
        if isinstance(record, Announcement):
            self.models[record.version] = (record.model, record.key_epoch)
        self.history.feed(record, at_ms)
        return True

    def _offered(self, topic: str, signed: Signed, at_ms: int) -> bool:
        site = topic.removeprefix(topics.offers(""))
        if kind_of(signed.payload) == Evaluation.KIND:
            return self._measured(site, signed, at_ms)
        record = verify(signed, _kind(signed, _OFFERS), self._membership().signing_key(site, signed.key_id))
        assert isinstance(record, Offer | Presence)
        if isinstance(record, Offer):
            header = Header.from_bytes(record.header)
            public = self._membership().signing_key(site, header.signing_key)
            verify_update(record.header, record.boxes, record.update_signature, public)
            named = header.site
        else:
            named = record.site
        if named != site:
            raise PeerError(f"a record of {named} lies on the topic of {site}")
        if isinstance(record, Presence) and len(self._signs) < SIGNS_MAX:
            self._signs[topic, signed.to_bytes()] = record
        self.history.feed(record, at_ms)
        return True

    def _measured(self, site: str, signed: Signed, at_ms: int) -> bool:
        record = verify_evaluation(signed, self._membership().signing_key(site, signed.key_id))
        if record.site != site:
            raise PeerError(f"a record of {record.site} lies on the topic of {site}")
        values = None
        if self._opening is not None and record.study == self.study and sealed_to(record, self._opening):
            values = measured_values(record, self._opening, self.plan)
        told = Told(record.study, site, record.version, values)
        self.history.feed(record if isinstance(record, OpenEvaluation) else told, at_ms)
        return True

    def _membership(self) -> Membership:
        if self._directory.membership is None:
            raise PeerError("there is no roster yet", code="stranger")
        return self._directory.membership


def _kind(signed: Signed, known: Mapping[int, type[Record]]) -> type[Record]:
    kind = kind_of(signed.payload)
    if kind not in known:
        raise PeerError(f"a record of kind {kind} does not belong here")
    return known[kind]
