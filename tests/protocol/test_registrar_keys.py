"""The registrar's key is handed on: whoever pins the former or the new one reads the same, in whatever order."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.digests import record_digest
from protocol.directory import Directory
from protocol.registrar_keys import RegistrarKeys, Unheard, UnknownKeyError, hand_on, read_handed_on
from protocol.roster_memory import Met, RosterMemory
from protocol.signing import SigningKey
from schemas import topics
from schemas.errors import PeerError
from schemas.records import KeyState, KeyUse, Member, MemberKey, PlanRecord, Role, Roster, Signed
from tests.schemas.plans import PLAN

FIRST, SECOND, THIRD, THIEF, MEMBER = (SigningKey.generate() for _ in range(5))
Fed = tuple[str, bytes, bytes]


def member(signer: SigningKey, state: KeyState = KeyState.ACTIVE) -> tuple[Member, Fed]:
    keys = (MemberKey(KeyUse.SIGN, MEMBER.key_id, MEMBER.public, state),)
    made = Member("clinic", "Clinic", (), (Role.SITE,), keys)
    return made, (topics.MEMBERS, b"clinic", signer.sign(made).to_bytes())


def roster(signer: SigningKey, serial: int, *members: Member) -> Fed:
    listed = tuple((one.name, record_digest(one.to_bytes())) for one in members)
    return topics.MEMBERS, topics.ROSTER_KEY, signer.sign(Roster(serial, listed)).to_bytes()


def handed_on(former: SigningKey, new: SigningKey, serial: int) -> Fed:
    return topics.MEMBERS, topics.registrar_key(former.key_id), hand_on(former, new, serial).to_bytes()


def plan(signer: SigningKey) -> Fed:
    record = PlanRecord(PLAN.study, PLAN.to_bytes(), None)
    return topics.PLANS, PLAN.digest, signer.sign(record).to_bytes()


def read(pinned: SigningKey, records: Iterable[Fed], memory: RosterMemory | None = None) -> Directory:
    directory = Directory(pinned.public, memory)
    for record in records:
        feed(directory, record)
    return directory


def feed(directory: Directory, record: Fed) -> PeerError | None:
    try:
        directory.feed(*record)
    except PeerError as error:
        return error
    return None


def serial_of(directory: Directory) -> int | None:
    return directory.membership.serial if directory.membership is not None else None


ACTIVE, PUBLISHED = member(FIRST)
REVOKED, REVOKING = member(THIRD, KeyState.REVOKED)
LOG: Sequence[Fed] = (
    PUBLISHED,
    roster(FIRST, 1, ACTIVE),
    plan(FIRST),
    handed_on(FIRST, SECOND, 1),
    roster(SECOND, 2, ACTIVE),
    handed_on(SECOND, THIRD, 2),
    REVOKING,
    roster(THIRD, 3, REVOKED),
    roster(FIRST, 9, ACTIVE),  # of whoever stole the first key
    roster(SECOND, 9, ACTIVE),
)


@given(st.permutations(LOG), st.sampled_from([FIRST, SECOND, THIRD]))
def test_whoever_pins_any_key_of_the_chain_reads_the_same_in_any_order(log: list[Fed], pinned: SigningKey) -> None:
    directory = read(pinned, log)
    assert (serial_of(directory), directory.behind) == (3, "")
    assert directory.membership is not None
    assert directory.membership.members["clinic"] == REVOKED
    assert directory.keys.newest == THIRD.public
    assert PLAN.digest in directory.plans
    assert not directory.is_anothers


@pytest.mark.parametrize("pinned", [FIRST, SECOND])
def test_a_stolen_former_key_signs_no_roster_above_its_last_and_every_one_up_to_it(pinned: SigningKey) -> None:
    log = [PUBLISHED, roster(FIRST, 4, ACTIVE), handed_on(FIRST, SECOND, 4)]
    directory = read(pinned, log)
    assert serial_of(directory) == 4
    refused = feed(directory, roster(FIRST, 5, ACTIVE))
    assert refused is not None
    assert refused.code == "revoked"
    assert "whose last one is 4" in str(refused)
    assert serial_of(directory) == 4
    assert feed(directory, roster(SECOND, 5, ACTIVE)) is None
    assert serial_of(directory) == 5


def test_a_roster_that_was_believed_before_its_signer_was_known_to_have_ended_counts_no_more() -> None:
    log = [PUBLISHED, roster(FIRST, 4, ACTIVE), roster(FIRST, 5, ACTIVE)]
    directory = read(FIRST, log)
    assert serial_of(directory) == 5
    assert feed(directory, handed_on(FIRST, SECOND, 4)) is None
    assert serial_of(directory) == 4


def test_a_successor_needs_the_former_key_and_proves_the_new_one() -> None:
    good = hand_on(FIRST, SECOND, 4)
    record = read_handed_on(good)
    for forged in (
        THIEF.sign(record),
        FIRST.sign(replace(record, serial=5)),
        FIRST.sign(replace(record, public=THIEF.public)),
        FIRST.sign(replace(record, proof=FIRST.sign_bytes("registrarkey-proof", b""))),
        Signed(good.key_id, good.payload, bytes(64)),
    ):
        with pytest.raises(PeerError):
            RegistrarKeys(FIRST.public).add(forged)
    stolen = topics.MEMBERS, topics.registrar_key(THIEF.key_id), good.to_bytes()
    assert "stands under another key" in str(feed(Directory(FIRST.public), stolen))


def test_a_chain_that_hangs_on_nothing_that_is_pinned_is_a_strangers() -> None:
    directory = read(FIRST, [handed_on(THIEF, THIRD, 0), roster(THIRD, 1), handed_on(FIRST, SECOND, 0)])
    assert directory.membership is None
    assert THIRD.public not in directory.keys
    with pytest.raises(UnknownKeyError):
        directory.keys.add(hand_on(THIEF, THIRD, 0))


def test_a_chain_in_a_circle_or_two_keys_with_one_successor_are_refused() -> None:
    keys = RegistrarKeys(FIRST.public)
    assert keys.add(hand_on(FIRST, SECOND, 1))
    assert not keys.add(hand_on(FIRST, SECOND, 1)), "it says the same"
    with pytest.raises(PeerError, match="circle"):
        keys.add(hand_on(SECOND, FIRST, 2))
    with pytest.raises(PeerError, match="succeeds another one"):
        keys.add(hand_on(THIEF, SECOND, 1))
    assert keys.newest == SECOND.public
    assert not keys.forked


FORK = (PUBLISHED, roster(FIRST, 1, ACTIVE), handed_on(FIRST, SECOND, 1), roster(SECOND, 2, ACTIVE),
        handed_on(FIRST, THIEF, 1), roster(THIEF, 3, ACTIVE))  # fmt: skip


@pytest.mark.parametrize("order", list(itertools.permutations(range(2, 6))))
def test_two_successors_of_one_key_are_a_fork_in_whatever_order_they_are_read(order: tuple[int, ...]) -> None:
    directory = read(FIRST, [*FORK[:2], *(FORK[at] for at in order)])
    for one in (FIRST, SECOND, THIEF):
        assert one.key_id.hex() in directory.behind
    assert "has two successors" in directory.behind
    assert "on the telephone" in directory.to_do
    frozen = serial_of(directory)
    feed(directory, roster(SECOND, 4, ACTIVE))
    assert serial_of(directory) == frozen, "nothing is gone on with"


@given(st.permutations(FORK))
def test_a_fork_before_the_key_that_is_pinned_is_of_no_account(log: list[Fed]) -> None:
    directory = read(SECOND, log)
    assert (serial_of(directory), directory.behind) == (2, "")
    assert THIEF.public not in directory.keys


def memory(folder: Path, pinned: SigningKey = FIRST) -> RosterMemory:
    return RosterMemory(folder / "roster.met", pinned.public)


def test_who_met_the_first_successor_follows_no_other_one_that_hides_it(tmp_path: Path) -> None:
    assert serial_of(read(FIRST, FORK[:4], memory(tmp_path))) == 2
    hidden = [*FORK[:2], *FORK[4:]]
    directory = read(FIRST, hidden, memory(tmp_path))
    assert directory.membership is None
    assert f"does not lead to the registrar's key {SECOND.key_id.hex()}" in directory.behind
    assert serial_of(read(FIRST, hidden)) == 3, "whoever never met it cannot tell"


def test_a_successor_is_remembered_before_there_is_a_roster_of_its_own(tmp_path: Path) -> None:
    read(FIRST, FORK[:3], memory(tmp_path))
    assert memory(tmp_path).key == SECOND.public
    older = read(FIRST, FORK[:2], memory(tmp_path))
    assert older.membership is None
    assert "does not lead to" in older.behind
    assert feed(older, FORK[2]) is None
    assert (serial_of(older), older.behind) == (1, "")


def test_who_pins_the_new_key_in_the_place_of_the_former_one_remembers_what_it_met(tmp_path: Path) -> None:
    read(FIRST, FORK[:4], memory(tmp_path))
    met = memory(tmp_path).newest
    assert met is not None
    assert memory(tmp_path, SECOND).newest == met
    assert memory(tmp_path, THIEF).newest is None
    older = read(SECOND, FORK[:3], memory(tmp_path, SECOND))
    assert older.membership is None
    assert "serial 2 was met" in older.behind
    read(SECOND, [*FORK[:4], roster(SECOND, 3, ACTIVE)], memory(tmp_path, SECOND))
    assert memory(tmp_path, SECOND).newest != met


def test_a_memory_of_before_has_no_key_and_one_of_the_pinned_key_alone_is_written_as_before(tmp_path: Path) -> None:
    line = f"{FIRST.public.hex()} 4 {bytes(32).hex()}\n"
    (tmp_path / "roster.met").write_text(line)
    one = memory(tmp_path)
    assert (one.newest, one.key) == (Met(4, bytes(32)), FIRST.public)
    one.meet(Met(5, bytes(32)), FIRST.public)
    assert len((tmp_path / "roster.met").read_text().split()) == 3


def test_what_was_not_understood_is_kept_within_a_bound_the_newest_of_each_place_and_signer() -> None:
    signed = [Signed.from_bytes(roster(THIEF, serial)[2]) for serial in range(1, 50)]
    unheard = Unheard(bytes_max=1000)
    for one in signed:
        unheard.keep(topics.MEMBERS, b"roster", one)
    assert [one for _, _, one in unheard.take()] == signed[-1:]
    for number, one in enumerate(signed):
        unheard.keep(topics.MEMBERS, b"%d" % number, one)
    kept = [one for _, _, one in unheard.take()]
    assert kept == signed[-len(kept) :]
    assert 1 < len(kept) < 5
    assert list(unheard.take()) == []
