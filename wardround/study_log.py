"""One study as its topics tell it: checks every record, keeps the history, and knows where each version lies.

Knows:    who may have signed what; the chain of `rounds`; epoch keys that are sealed to one member.
Never:    reads a topic itself; a record that does not hold is left out and said in one log line.
Used by:  wardround.federation.
"""

from collections.abc import Mapping
from typing import TypeVar

import structlog

from protocol.commands import CommandLog
from protocol.directory import Directory
from protocol.rounds import RoundsView
from protocol.signing import verify, verify_update
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
    Failed,
    Header,
    Offer,
    Presence,
    Receipt,
    Request,
    Signed,
    kind_of,
)
from schemas.roster import Membership
from wardround.history import Commanded, StudyHistory

_ROUNDS = {record.KIND: record for record in (Announcement, Request, AskAgain, Failed)}
_OFFERS = {record.KIND: record for record in (Offer, Presence, Evaluation)}
R = TypeVar("R", bound=Record)
log = structlog.get_logger()


class StudyLog:
    """Feed it the records of `topic_names` in the order of each topic; read `history`, `models` and `epoch_keys`."""

    def __init__(self, plan: Plan, directory: Directory) -> None:
        self.plan = plan
        self.history = StudyHistory(plan, plan.digest)
        self.models: dict[int, tuple[BodyAt, int]] = {}  # version -> (where its body lies, key epoch)
        self.epoch_keys: dict[tuple[int, str], EpochKey] = {}  # (epoch, member)
        self._directory = directory
        self._commands = CommandLog(plan.study)
        self._commanded_ms: list[int] = []  # append times of its records
        self._rounds = RoundsView(plan.study, plan.digest, trustees=len(plan.privacy.trustees))
        self.meet_sites()

    @property
    def study(self) -> str:
        return self.plan.study

    def meet_sites(self) -> None:
        """Take up sites that the newest roster names; to be called when membership has changed."""
        membership = self._directory.membership
        for name in membership.sites(self.study) if membership else ():
            self.history.site(name).institution = membership.members[name].institution if membership else ""
        self._judge_commands()

    def topic_names(self) -> list[str]:
        """Everything a follower reads, the keys aside."""
        study = self.study
        own = (topics.rounds(study), topics.receipts(study), topics.commands(study))
        return [*own, *(topics.offers(name) for name in self.history.sites)]

    def feed(self, topic: str, value: bytes | None, at_ms: int) -> bool:
        """Take one record of the study's topics; False when it told nothing new, or does not hold."""
        if value is None:
            return False
        try:
            if topic == topics.commands(self.study):
                return self._command(value, at_ms)
            return self._take(topic, Signed.from_bytes(value), at_ms)
        except PeerError as error:
            log.warning("record left out", topic=topic, reason=str(error))
            return False

    def _take(self, topic: str, signed: Signed, at_ms: int) -> bool:
        if topic == topics.rounds(self.study):
            return self._round(signed, at_ms)
        if topic == topics.receipts(self.study):
            self.history.feed(self._by_coordinator(signed, Receipt), at_ms)
            return True
        if topic == topics.keys(self.study):
            key = self._by_coordinator(signed, EpochKey)
            self.epoch_keys[key.epoch, key.member] = key
            return True
        return self._offered(topic, signed, at_ms)

    def _command(self, value: bytes, at_ms: int) -> bool:
        self._commands.add(value)
        self._commanded_ms.append(at_ms)
        before = list(self.history.commands)
        self._judge_commands()
        return before != self.history.commands

    def _judge_commands(self) -> None:
        """Which commands hold is a matter of the newest roster, so all of them are judged anew."""
        judged = zip(self._commanded_ms, self._commands.judge(self._directory.membership), strict=True)
        self.history.commands = [
            Commanded(at_ms, one.operator, one.command) for at_ms, one in judged if one.command is not None
        ]
        self.history.commands_void = len(self._commanded_ms) - len(self.history.commands)

    def _round(self, signed: Signed, at_ms: int) -> bool:
        record = self._by_coordinator(signed, _kind(signed, _ROUNDS))
        assert isinstance(record, Announcement | Request | AskAgain | Failed)
        if not self._rounds.add(record) or isinstance(record, AskAgain):
            return False
        if isinstance(record, Announcement):
            self.models[record.version] = (record.model, record.key_epoch)
        self.history.feed(record, at_ms)
        return True

    def _offered(self, topic: str, signed: Signed, at_ms: int) -> bool:
        site = topic.removeprefix(topics.offers(""))
        record = verify(signed, _kind(signed, _OFFERS), self._membership().signing_key(site, signed.key_id))
        assert isinstance(record, Offer | Presence | Evaluation)
        if isinstance(record, Offer):
            header = Header.from_bytes(record.header)
            public = self._membership().signing_key(site, header.signing_key)
            verify_update(record.header, record.boxes, record.update_signature, public)
            named = header.site
        else:
            named = record.site
        if named != site:
            raise PeerError(f"a record of {named} lies on the topic of {site}")
        self.history.feed(record, at_ms)
        return True

    def _by_coordinator(self, signed: Signed, record_type: type[R]) -> R:
        membership = self._membership()
        return verify(signed, record_type, membership.signing_key(membership.coordinator, signed.key_id))

    def _membership(self) -> Membership:
        if self._directory.membership is None:
            raise PeerError("there is no roster yet", code="stranger")
        return self._directory.membership


def _kind(signed: Signed, known: Mapping[int, type[Record]]) -> type[Record]:
    kind = kind_of(signed.payload)
    if kind not in known:
        raise PeerError(f"a record of kind {kind} does not belong here")
    return known[kind]
