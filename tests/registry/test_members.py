"""What a Member record says after its keys were exchanged, once and many times."""

from itertools import pairwise

import pytest

from protocol.sealing import OpenKey
from protocol.signing import SigningKey
from protocol.tls.requests import new_tls_key
from registry.keyfiles import MemberCard
from registry.members import KEYS_MAX, NewMember, member_of, revoked
from schemas.errors import LocalError
from schemas.records import KeyState, KeyUse, Member, Role

TLS_KEY = new_tls_key()
OPENING = [OpenKey.generate() for _ in range(4)]


def card(number: int) -> MemberCard:
    signing, opening = SigningKey.generate(), OPENING[number % len(OPENING)]
    return MemberCard.of("site-1", "Site 1", signing, opening.public, TLS_KEY)


def published(cards: list[MemberCard]) -> Member:
    """One after another."""
    known: dict[str, Member] = {}
    for one in cards:
        known["site-1"] = member_of(NewMember(one, (Role.SITE,)), known)
    return known["site-1"]


def test_former_keys_are_retired_and_those_that_were_revoked_stay_so() -> None:
    first, second, third = (card(number) for number in range(3))
    member = published([first, second])
    states = {key.public: key.state for key in member.keys}
    assert {states[second.sign], states[second.open]} == {KeyState.ACTIVE}
    assert {states[first.sign], states[first.open]} == {KeyState.RETIRED}
    after = member_of(NewMember(third, (Role.SITE,)), {"site-1": revoked(member)})
    states = {key.public: key.state for key in after.keys}
    assert states.pop(third.sign) == states.pop(third.open) == KeyState.ACTIVE
    assert set(states.values()) == {KeyState.REVOKED}


def test_however_often_keys_are_rotated_no_signing_key_is_dropped() -> None:
    cards = [card(number) for number in range(KEYS_MAX - 1)]
    member = published(cards)
    signing = [key.public for key in member.keys if key.use == KeyUse.SIGN]
    assert set(signing) == {one.sign for one in cards}
    assert len(member.keys) == KEYS_MAX


def test_a_rotation_that_would_drop_a_signing_key_is_refused() -> None:
    cards = [card(number) for number in range(KEYS_MAX)]
    assert all(former.sign != later.sign for former, later in pairwise(cards))
    with pytest.raises(LocalError, match="its record holds 14"):
        published(cards)
