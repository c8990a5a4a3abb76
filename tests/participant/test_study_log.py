"""What a participant believes of its study's log, and what it leaves out."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from participant.core import events as seen
from participant.shell.follow import StudyLog
from participant.shell.metrics import ParticipantMetrics
from participant.shell.services import Services
from protocol.digests import record_digest
from protocol.sealing import OpenKey, new_epoch_key, seal_epoch_key
from protocol.signing import SigningKey
from schemas import topics
from schemas.codec import Record
from schemas.errors import PeerError
from schemas.records import EpochKey, KeyState, KeyUse, Member, MemberKey, Outcome, Receipt, Role, Roster
from schemas.roster import Membership, assemble
from tests.participant.driving import plan
from tests.protocol.logs import Scribe, entry
from transport.log import Entry

SITE, STRANGER = SigningKey.generate(), SigningKey.generate()
COORDINATOR, OPENING = SigningKey.generate(), OpenKey.generate()
PLAN = plan()


def membership(state: KeyState = KeyState.ACTIVE, *names: str) -> Membership:
    members = [
        Member(name, name, (), (int(role),), (MemberKey(KeyUse.SIGN, key.key_id, key.public, int(of)),))
        for name, role, key, of in (
            ("coordinator", Role.COORDINATOR, COORDINATOR, KeyState.ACTIVE),
            ("site-1", Role.SITE, SITE, state),
        )
        if name in (names or ("coordinator", "site-1"))
    ]
    digests = {record_digest(member.to_bytes()): member for member in members}
    roster = Roster(1, tuple(sorted((member.name, digest) for digest, member in digests.items())))
    return assemble(roster, record_digest(roster.to_bytes()), digests)


class Following:
    """A StudyLog with its topics: write a record, signed by whom you like, and see what the core is told."""

    def __init__(self) -> None:
        self.directory = SimpleNamespace(membership=membership())
        services = SimpleNamespace(
            name="site-1", directory=self.directory, signing=SITE, opening=OPENING, metrics=ParticipantMetrics()
        )
        self.log = StudyLog(cast(Services, services), PLAN)
        self.scribe = Scribe(PLAN.study, PLAN.digest)

    def write(self, topic: str, record: Record, *, key: str | None = None, signer: SigningKey = COORDINATOR) -> None:
        encoded = None if key is None else key.encode()
        self.log.feed(Entry(topic, 0, 0, encoded, signer.sign(record).to_bytes()))

    def rounds(self, record: Any, **how: Any) -> None:
        self.write(topics.rounds(PLAN.study), self.scribe.keep(record), **how)

    def drained(self) -> list[Any]:
        return [event for event in self.log.drain() if event != seen.Held("")]


@pytest.fixture
def following() -> Following:
    return Following()


def receipt(site: str = "site-1", sequence: int = 7) -> Receipt:
    return Receipt(PLAN.study, site, sequence, int(Outcome.COUNTED), None, 1, 16, 5, ())


def test_of_many_announcements_only_the_newest_is_told(following: Following) -> None:
    following.rounds(following.scribe.announcement())
    asked = following.scribe.request(entry("site-1", 5), entry("site-2", 6, 9))
    following.rounds(asked)
    following.rounds(following.scribe.answer(asked))
    assert following.drained() == [seen.Requested(0, 5, 16), seen.Announced(1, False)]
    assert following.drained() == []


def test_what_is_fetched_is_what_the_core_was_told_though_the_log_is_ahead_by_now(following: Following) -> None:
    following.rounds(following.scribe.announcement())
    assert following.log.told is None
    following.drained()
    asked = following.scribe.request(entry("site-1", 5))
    following.rounds(asked)
    following.rounds(following.scribe.answer(asked))
    assert following.log.view.version == 1
    assert following.log.told is not None
    assert following.log.told.version == 0
    following.drained()
    assert following.log.told.version == 1


def test_a_record_that_the_coordinator_did_not_sign_is_left_out(following: Following) -> None:
    first = following.scribe.announcement()
    following.write(topics.rounds(PLAN.study), first, signer=STRANGER)
    assert following.drained() == []
    following.rounds(first)
    assert following.drained() == [seen.Announced(0, False)]


def test_garbage_on_the_log_harms_nothing(following: Following) -> None:
    for value in (b"", b"\x93", b"x" * 1000, None):
        following.log.feed(Entry(topics.rounds(PLAN.study), 0, 0, None, value))
    following.rounds(following.scribe.announcement())
    assert following.drained() == [seen.Announced(0, False)]


def test_a_log_that_forked_holds_the_study_for_good(following: Following) -> None:
    following.rounds(following.scribe.announcement())
    other = Scribe(PLAN.study, PLAN.digest)
    other.keep(other.announcement(roster_serial=2))
    following.write(topics.rounds(PLAN.study), other.request())
    held = [event for event in following.drained() if isinstance(event, seen.Held)]
    assert "forked" in held[0].reason
    following.rounds(following.scribe.request())
    assert not any(isinstance(event, seen.Requested) for event in following.drained())


def test_only_this_sites_receipts_are_told(following: Following) -> None:
    topic = topics.receipts(PLAN.study)
    following.write(topic, receipt("site-2"), key="site-2")
    following.write(topic, receipt("site-2"), key="site-1")
    following.write(topic, receipt(), key="site-1", signer=STRANGER)
    assert following.drained() == []
    following.write(topic, receipt(), key="site-1")
    following.write(topic, receipt(sequence=8), key="site-1")
    assert following.drained() == [seen.ReceiptRead(receipt(sequence=8))]


def test_repro_a_receipt_frees_the_site_for_the_version_it_came_with_and_not_for_the_one_before(
    following: Following,
) -> None:
    following.rounds(following.scribe.announcement())
    asked = following.scribe.request(entry("site-1", 7))
    following.rounds(asked)
    following.rounds(following.scribe.answer(asked))
    following.write(topics.receipts(PLAN.study), receipt(), key="site-1")
    told = following.drained()
    assert told == [seen.Requested(0, 7, 16), seen.Announced(1, False), seen.ReceiptRead(receipt())]


def test_a_site_off_the_roster_is_held_until_it_is_back(following: Following) -> None:
    following.directory.membership = membership(KeyState.ACTIVE, "coordinator")
    assert "does not list site-1" in following.drained()[0].reason
    following.directory.membership = membership(KeyState.REVOKED)
    assert following.drained() != []
    following.directory.membership = membership()
    assert following.log.drain() == [seen.Held("")]


async def test_an_epoch_key_that_comes_after_its_announcement_is_waited_for(following: Following) -> None:
    key = new_epoch_key()
    box = seal_epoch_key(OPENING.public, PLAN.study, 2, "site-1", key)
    waiting = asyncio.create_task(following.log.epoch_key(2))
    await asyncio.sleep(0)
    record = EpochKey(PLAN.study, 2, "site-1", OPENING.key_id, box)
    following.write(topics.keys(PLAN.study), record, key="2/site-1")
    assert await waiting == key


async def test_an_epoch_key_under_another_epoch_is_left_out(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = seal_epoch_key(OPENING.public, PLAN.study, 2, "site-1", new_epoch_key())
    record = EpochKey(PLAN.study, 2, "site-1", OPENING.key_id, box)
    following.write(topics.keys(PLAN.study), record, key="3/site-1")
    monkeypatch.setattr("participant.shell.follow.EPOCH_KEY_S", 0.01)
    for epoch in (2, 3):
        with pytest.raises(PeerError, match="no key of epoch"):
            await following.log.epoch_key(epoch)
