"""What the roster says of a site, and how a site learns that it runs with keys that are not its own."""

from dataclasses import dataclass

import pytest

from participant.core.place import OWN_KEYS, Place
from protocol.digests import record_digest
from protocol.sealing import OpenKey
from protocol.signing import SigningKey
from schemas.records import KeyState, KeyUse, Member, MemberKey, Role, Roster
from schemas.roster import Membership, assemble

NOBODYS = bytes(16)


@dataclass(frozen=True)
class Keys:
    signing: MemberKey
    opening: MemberKey

    @classmethod
    def made(cls) -> "Keys":
        sign, opens = SigningKey.generate(), OpenKey.generate()
        return cls(
            MemberKey(int(KeyUse.SIGN), sign.key_id, sign.public, int(KeyState.ACTIVE)),
            MemberKey(int(KeyUse.OPEN), opens.key_id, opens.public, int(KeyState.ACTIVE)),
        )


KEYS = {name: Keys.made() for name in ("site-1", "site-2")}


@pytest.fixture(scope="module")
def roster() -> Membership:
    members = [
        Member(name, name, (), (int(Role.SITE),), (keys.signing, keys.opening)) for name, keys in sorted(KEYS.items())
    ]
    digests = {record_digest(member.to_bytes()): member for member in members}
    record = Roster(1, tuple((member.name, digest) for digest, member in digests.items()))
    return assemble(record, record_digest(record.to_bytes()), digests)


def place(name: str, *, signing: bytes | None = None, opening: bytes | None = None) -> Place:
    own = KEYS.get(name, KEYS["site-1"])
    return Place(name, (signing or own.signing.key_id,), (opening or own.opening.key_id,))


def test_a_site_with_its_own_keys_may_work(roster: Membership) -> None:
    assert place("site-1").why_not(roster, "demo") == ""
    assert place("site-1").signs(roster)


def test_before_the_roster_is_there_nobody_works_or_is_believed() -> None:
    assert "not complete" in place("site-1").why_not(None, "demo")
    assert not place("site-1").signs(None)


def test_a_site_that_is_not_listed_yet_waits_and_is_not_told_that_its_keys_are_wrong(roster: Membership) -> None:
    why = place("site-3").why_not(roster, "demo")
    assert why == "the roster (serial 1) does not list site-3 as a site of demo"


def test_another_sites_signing_key_is_named_with_its_owner_and_what_to_do(roster: Membership) -> None:
    mixed_up = place("site-2", signing=KEYS["site-1"].signing.key_id)
    why = mixed_up.why_not(roster, "demo")
    assert why.startswith("this site's signing key: the roster (serial 1) knows no signing key")
    assert "it is a key of site-1" in why
    assert why.endswith(OWN_KEYS)
    assert not mixed_up.signs(roster)


@pytest.mark.parametrize(
    ("opening", "said"),
    [(KEYS["site-1"].opening.key_id, "; it is a key of site-1"), (NOBODYS, "")],
    ids=["another-sites", "nobodys"],
)
def test_an_opening_key_that_the_roster_does_not_know_is_named_too(
    roster: Membership, opening: bytes, said: str
) -> None:
    wrong = place("site-2", opening=opening)
    known = KEYS["site-2"].opening.key_id.hex()
    held = f"knows site-2 under opening key {known}, this site holds {opening.hex()}{said}; {OWN_KEYS}"
    assert held in wrong.why_not(roster, "demo")
    assert wrong.signs(roster)


def test_a_site_whose_newest_keys_are_not_published_yet_works_under_those_before(roster: Membership) -> None:
    own, fresh = KEYS["site-1"], Keys.made()
    rotated = Place("site-1", (fresh.signing.key_id, own.signing.key_id), (fresh.opening.key_id, own.opening.key_id))
    assert rotated.why_not(roster, "demo") == ""
    assert rotated.signs(roster)


def test_a_site_with_new_keys_alone_waits_until_they_are_published(roster: Membership) -> None:
    fresh = Keys.made()
    lost = Place("site-1", (fresh.signing.key_id,), (fresh.opening.key_id,))
    assert f"knows no signing key {fresh.signing.key_id.hex()}" in lost.why_not(roster, "demo")
    assert not lost.signs(roster)
