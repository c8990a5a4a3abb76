"""What counts as a coordinator's record: its key, its study, its topic. All else is passed over, whatever it claims."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.digests import record_digest
from protocol.signing import SigningKey
from protocol.written import ForeignError, read_receipt, read_rounds
from schemas.codec import Record
from schemas.errors import PeerError
from schemas.records import KeyState, KeyUse, Member, MemberKey, Outcome, Presence, Receipt, Role, Roster, Signed
from schemas.roster import Membership, assemble
from tests.protocol.logs import STUDY, Scribe

COORDINATOR, FORMER, STOLEN, SITE = (SigningKey(bytes([number]) * 32) for number in (1, 2, 3, 4))
ANNOUNCED = Scribe().announcement()
RECEIPT = Receipt(STUDY, "a", 3, Outcome.COUNTED, None, 1, 16, 9, ())


def keys(**states: KeyState) -> tuple[MemberKey, ...]:
    named = {"now": COORDINATOR, "former": FORMER, "stolen": STOLEN}
    return tuple(MemberKey(KeyUse.SIGN, named[n].key_id, named[n].public, state) for n, state in states.items())


def roster() -> Membership:
    own = keys(now=KeyState.ACTIVE, former=KeyState.RETIRED, stolen=KeyState.REVOKED)
    site = (MemberKey(KeyUse.SIGN, SITE.key_id, SITE.public, KeyState.ACTIVE),)
    members = [Member("a", "", (), (Role.SITE,), site), Member("coordinator", "", (), (Role.COORDINATOR,), own)]
    digests = {record_digest(one.to_bytes()): one for one in members}
    return assemble(Roster(1, tuple((one.name, digest) for digest, one in digests.items())), bytes(32), digests)


ROSTER = roster()


def signed(record: Record, key: SigningKey = COORDINATOR) -> bytes:
    return key.sign(record).to_bytes()


@pytest.mark.parametrize("key", [COORDINATOR, FORMER], ids=["its key", "a retired one"])
def test_what_the_coordinator_signed_is_its_own(key: SigningKey) -> None:
    assert read_rounds(signed(ANNOUNCED, key), ROSTER, STUDY) == ANNOUNCED
    assert read_receipt(signed(RECEIPT, key), ROSTER, STUDY) == RECEIPT


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"x",
        signed(ANNOUNCED, SITE),
        signed(ANNOUNCED, SigningKey(bytes([9]) * 32)),
        signed(RECEIPT),
        signed(Presence("coordinator", (), "")),
        signed(replace(ANNOUNCED, study="other")),
        Signed(COORDINATOR.key_id, ANNOUNCED.to_bytes(), bytes(64)).to_bytes(),
        Signed(STOLEN.key_id, ANNOUNCED.to_bytes(), bytes(64)).to_bytes(),
        signed(ANNOUNCED) + b"\0",
    ],
    ids=[
        "a tombstone",
        "nothing",
        "one byte",
        "a site's",
        "a stranger's",
        "a record of another topic",
        "a record of another writer",
        "of another study",
        "a forged signature",
        "a forged signature under a revoked key",
        "a byte more",
    ],
)
def test_all_else_is_foreign(value: bytes | None) -> None:
    with pytest.raises(ForeignError):
        read_rounds(value, ROSTER, STUDY)


@given(st.binary(max_size=400))
def test_whatever_bytes_lie_there_they_are_foreign(value: bytes) -> None:
    with pytest.raises(ForeignError):
        read_rounds(value, ROSTER, STUDY)
    with pytest.raises(ForeignError):
        read_receipt(value, ROSTER, STUDY)


def test_without_a_roster_nothing_can_be_told_apart() -> None:
    with pytest.raises(ForeignError) as caught:
        read_rounds(signed(ANNOUNCED), None, STUDY)
    assert caught.value.code == "stranger"


def test_a_record_that_a_revoked_key_did_sign_is_not_simply_passed_over() -> None:
    with pytest.raises(PeerError) as caught:
        read_rounds(signed(ANNOUNCED, STOLEN), ROSTER, STUDY)
    assert not isinstance(caught.value, ForeignError)
    assert caught.value.code == "revoked"
