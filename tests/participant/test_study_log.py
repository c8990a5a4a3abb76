"""What a participant believes of its study's log, and what it leaves out."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from participant.core import events as seen
from participant.core.place import Place
from participant.shell.follow import StudyLog
from participant.shell.metrics import ParticipantMetrics
from participant.shell.services import Services
from participant.shell.store import Store
from participant.shell.strangers import Strangers
from participant.shell.unheard import BYTES_MAX, RECORDS_MAX, Unheard
from protocol.digests import record_digest
from protocol.rings import OpenRing
from protocol.sealing import OpenKey, new_epoch_key, seal_epoch_key
from protocol.signing import SigningKey
from schemas import topics
from schemas.codec import Record
from schemas.errors import PeerError
from schemas.records import EpochKey, KeyState, KeyUse, Member, MemberKey, Outcome, Receipt, Role, Roster
from schemas.roster import Membership, assemble
from tests.participant.driving import plan
from tests.protocol.logs import Scribe, entry
from transport.reading.log import Entry

SITE, STRANGER = SigningKey.generate(), SigningKey.generate()
COORDINATOR, OPENING = SigningKey.generate(), OpenKey.generate()
PLAN = plan()


def membership(
    state: KeyState = KeyState.ACTIVE,
    *names: str,
    opening: OpenKey = OPENING,
    coordinator: Mapping[SigningKey, KeyState] = MappingProxyType({COORDINATOR: KeyState.ACTIVE}),
) -> Membership:
    opens = {"site-1": (MemberKey(KeyUse.OPEN, opening.key_id, opening.public, int(KeyState.ACTIVE)),)}
    members = [
        Member(
            name,
            name,
            (),
            (int(role),),
            (
                *(MemberKey(KeyUse.SIGN, key.key_id, key.public, int(of)) for key, of in keys.items()),
                *opens.get(name, ()),
            ),
        )
        for name, role, keys in (
            ("coordinator", Role.COORDINATOR, coordinator),
            ("site-1", Role.SITE, {SITE: state}),
        )
        if name in (names or ("coordinator", "site-1"))
    ]
    digests = {record_digest(member.to_bytes()): member for member in members}
    roster = Roster(1, tuple(sorted((member.name, digest) for digest, member in digests.items())))
    return assemble(roster, record_digest(roster.to_bytes()), digests)


class Following:
    """A StudyLog with its topics: write a record, signed by whom you like, and see what the core is told."""

    def __init__(self, folder: Path) -> None:
        self.directory = SimpleNamespace(behind="", membership=membership())
        self.store = Store(folder, "site-1")
        self.scribe = Scribe(PLAN.study, PLAN.digest)
        self.opening = OpenRing.of(OPENING)
        self.begin()

    def begin(self) -> None:
        """The service starts (again); nothing is read yet."""
        metrics = ParticipantMetrics()
        services = SimpleNamespace(
            name="site-1",
            directory=self.directory,
            place=Place("site-1", (SITE.key_id,), (OPENING.key_id,)),
            opening=self.opening,
            metrics=metrics,
            strangers=Strangers(metrics),
            store=self.store,
        )
        self.log = StudyLog(cast(Services, services), PLAN)

    def read(self, *records: Any) -> list[Any]:
        """Read these to the end of the log; what the core is told of its end, and of reasons not to work on it."""
        for record in records:
            self.write(topics.rounds(PLAN.study), record)
        return [event for event in self.log.drain() if isinstance(event, seen.LogRead | seen.Held)]

    def write(self, topic: str, record: Record, *, key: str | None = None, signer: SigningKey = COORDINATOR) -> None:
        encoded = None if key is None else key.encode()
        self.log.feed(Entry(topic, 0, 0, encoded, signer.sign(record).to_bytes()))

    def rounds(self, record: Any, **how: Any) -> None:
        self.write(topics.rounds(PLAN.study), self.scribe.keep(record), **how)

    def drained(self) -> list[Any]:
        quiet = (seen.Held(""), seen.LogRead)
        return [event for event in self.log.drain() if event != quiet[0] and not isinstance(event, quiet[1])]


@pytest.fixture
def following(tmp_path: Path) -> Following:
    return Following(tmp_path)


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


def test_how_far_the_log_was_read_is_told_once_and_once_more_when_it_is_read_again(following: Following) -> None:
    first = following.scribe.keep(following.scribe.announcement())
    asked = following.scribe.keep(following.scribe.request(entry("site-1", 5)))
    assert following.read(first, asked) == [seen.Held(""), seen.LogRead(1)]
    assert following.read() == []
    assert following.read(first) == [seen.LogRead(0)]
    assert following.read(asked) == [seen.LogRead(1)]


def test_an_empty_log_is_told_too(following: Following) -> None:
    assert following.read() == [seen.Held(""), seen.LogRead(-1)]


def test_of_a_log_that_is_not_read_to_its_end_nothing_is_told_but_that(following: Following) -> None:
    following.log.unread = "rounds not read to the end yet"
    first = following.scribe.keep(following.scribe.announcement())
    assert following.read(first) == [seen.Held(following.log.unread)]
    following.log.unread = ""
    assert following.log.drain() == [seen.Held(""), seen.Announced(0, False), seen.LogRead(0)]


def test_what_was_seen_before_a_restart_has_to_stand_there_after_it(following: Following) -> None:
    first = following.scribe.keep(following.scribe.announcement())
    asked = following.scribe.keep(following.scribe.request(entry("site-1", 5)))
    following.read(first, asked)
    following.begin()
    assert following.read(first, asked) == [seen.Held(""), seen.LogRead(1)]
    following.begin()
    other = Scribe(PLAN.study, PLAN.digest, [first], version=0)
    told = following.read(first, other.request(entry("site-2", 6)))
    assert told[1:] == [seen.LogRead(None)]
    assert "the log forked: record 1 of demo is another one" in told[0].reason
    assert "docs/operations/log-older-than-its-sites.md" in told[0].reason


def test_a_log_made_anew_is_known_by_its_first_record(following: Following) -> None:
    for _ in range(3):
        following.read(following.scribe.keep(following.scribe.announcement(key_epoch=len(following.scribe.records))))
    following.begin()
    told = following.read(Scribe(PLAN.study, PLAN.digest).announcement(roster_serial=2))
    assert "the log forked: record 0 of demo is another one" in told[0].reason


def test_a_log_that_is_shorter_after_a_restart_is_remembered_in_its_full_length(following: Following) -> None:
    records = [following.scribe.keep(following.scribe.announcement(key_epoch=number)) for number in range(5)]
    following.read(*records)
    for _ in range(2):
        following.begin()
        assert following.read(*records[:2])[-1] == seen.LogRead(1)
        assert max(following.store.seen(PLAN.study)) == 4


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
    assert seen.Held("") in following.log.drain()


def test_a_hold_is_said_once_with_its_reason_and_once_when_it_is_over(following: Following) -> None:
    with capture_logs() as lines:
        following.directory.membership = membership(opening=OpenKey.generate())
        for _ in range(3):
            following.drained()
        following.directory.membership = membership()
        following.drained()
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("error", "study held"),
        ("info", "study no longer held"),
    ]
    assert f"this site holds {OPENING.key_id.hex()}" in lines[0]["reason"]


def test_topics_that_are_not_read_yet_are_said_by_their_reader_alone(following: Following) -> None:
    with capture_logs() as lines:
        following.log.unread = "rounds not read to the end yet"
        following.drained()
        following.log.unread = ""
        following.drained()
    assert lines == []


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


def test_what_strangers_put_between_records_is_left_out_and_told_in_few_lines(
    following: Following,
) -> None:
    announced = following.scribe.announcement()
    with capture_logs() as lines:
        for _ in range(50):
            following.log.feed(Entry(topics.rounds(PLAN.study), 0, 0, None, b"x"))
            following.write(topics.rounds(PLAN.study), announced, signer=STRANGER)
        following.rounds(announced)
        following.log.feed(Entry(topics.rounds(PLAN.study), 0, 0, None, b"x"))
        asked = following.scribe.request(entry("site-1", 5))
        following.rounds(asked)
    assert following.log.view.next_index == 2
    assert following.drained() == [seen.Requested(0, 5, 16), seen.Announced(0, False)]
    assert 0 < len(lines) < 10


def test_records_under_a_key_that_comes_with_a_later_roster_are_heard_then_in_their_order(following: Following) -> None:
    rotated = SigningKey.generate()
    following.rounds(following.scribe.announcement())
    asked = following.scribe.request(entry("site-1", 7))
    following.rounds(asked, signer=rotated)
    following.rounds(following.scribe.answer(asked), signer=rotated)
    following.write(topics.receipts(PLAN.study), receipt(), key="site-1", signer=rotated)
    assert following.drained() == [seen.Announced(0, False)]
    following.directory.membership = membership(coordinator={COORDINATOR: KeyState.RETIRED, rotated: KeyState.ACTIVE})
    assert following.drained() == [seen.Requested(0, 7, 16), seen.Announced(1, False), seen.ReceiptRead(receipt())]
    following.rounds(following.scribe.request(entry("site-1", 8)), signer=rotated)
    assert following.drained() == [seen.Requested(1, 8, 16)]


def test_a_record_behind_them_waits_until_those_before_it_were_heard(following: Following) -> None:
    rotated = SigningKey.generate()
    following.rounds(following.scribe.announcement())
    asked = following.scribe.request(entry("site-1", 7))
    following.rounds(asked, signer=rotated)
    following.directory.membership = membership(coordinator={COORDINATOR: KeyState.RETIRED, rotated: KeyState.ACTIVE})
    following.rounds(following.scribe.answer(asked), signer=rotated)
    assert following.log.view.version == 1


def test_of_what_strangers_write_only_so_much_is_kept() -> None:
    unheard, first = Unheard(), membership()
    entries = [Entry(topics.rounds(PLAN.study), offset, 0, None, b"x") for offset in range(RECORDS_MAX + 5)]
    for one in entries:
        unheard.keep(one, first)
    assert unheard.under(first) == ()
    assert unheard.under(membership(opening=OpenKey.generate())) == tuple(entries[5:])
    assert unheard.under(first) == ()
    unheard.keep(Entry("rounds", 0, 0, None, bytes(BYTES_MAX + 1)), None)
    assert unheard.under(first) == ()


async def test_the_key_of_an_epoch_opens_whichever_of_the_sites_keys_it_was_sealed_to(following: Following) -> None:
    former, secrets = OpenKey.generate(), (new_epoch_key(), new_epoch_key())
    following.opening = OpenRing.of(OPENING, former)
    following.begin()
    for epoch, (key, secret) in enumerate(zip((former, OPENING), secrets, strict=True)):
        box = seal_epoch_key(key.public, PLAN.study, epoch, "site-1", secret)
        record = EpochKey(PLAN.study, epoch, "site-1", key.key_id, box)
        following.write(topics.keys(PLAN.study), record, key=f"{epoch}/site-1")
    assert [await following.log.epoch_key(epoch) for epoch in (0, 1)] == list(secrets)


async def test_an_older_box_of_a_key_does_not_take_the_place_of_the_one_that_opens(following: Following) -> None:
    secret, former = new_epoch_key(), OpenKey.generate()
    for key in (OPENING, former):
        box = seal_epoch_key(key.public, PLAN.study, 0, "site-1", secret)
        record = EpochKey(PLAN.study, 0, "site-1", key.key_id, box)
        following.write(topics.keys(PLAN.study), record, key="0/site-1")
    assert await following.log.epoch_key(0) == secret


def test_a_copy_of_an_older_record_at_the_end_of_the_log_is_no_sign_that_its_end_was_lost(following: Following) -> None:
    announced = following.scribe.keep(following.scribe.announcement())
    asked = following.scribe.keep(following.scribe.request(entry("site-1", 5)))
    for offset, record in enumerate((announced, asked, announced)):
        value = COORDINATOR.sign(record).to_bytes()
        following.log.feed(Entry(topics.rounds(PLAN.study), offset, 0, None, value))
    assert [one for one in following.log.drain() if isinstance(one, seen.LogRead)] == [seen.LogRead(1)]
    following.log.feed(Entry(topics.rounds(PLAN.study), 0, 0, None, COORDINATOR.sign(announced).to_bytes()))
    assert [one for one in following.log.drain() if isinstance(one, seen.LogRead)] == [seen.LogRead(0)]
