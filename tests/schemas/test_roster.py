"""Who may sign, open and take part is what the roster says, key by key."""

import hashlib

import pytest

from schemas.errors import PeerError
from schemas.records import Member, MemberKey, Role, Roster
from schemas.roster import Membership, assemble

ACTIVE, RETIRED, REVOKED = 1, 2, 3
SIGN, OPEN = 1, 2
ROSTER = b"\x77" * 32


def _key(use: int, seed: str, state: int = ACTIVE) -> MemberKey:
    public = hashlib.sha256(seed.encode()).digest() * (1 if use == SIGN else 38)
    return MemberKey(use, hashlib.sha256(public).digest()[:16], public, state)


def _member(name: str, *roles: int, studies: tuple[str, ...] = (), keys: tuple[MemberKey, ...] | None = None) -> Member:
    given = keys if keys is not None else (_key(SIGN, name + "/sign"), _key(OPEN, name + "/open"))
    return Member(name, name.title(), studies, tuple(sorted(int(role) for role in roles)), given)


def _membership(*members: Member, serial: int = 1) -> Membership:
    digests = {hashlib.sha256(member.to_bytes()).digest(): member for member in members}
    named = tuple(sorted((member.name, digest) for digest, member in digests.items()))
    return assemble(Roster(serial, named), ROSTER, digests)


def _code(membership: Membership, name: str, key: MemberKey) -> str:
    with pytest.raises(PeerError) as refused:
        membership.signing_key(name, key.key_id)
    return refused.value.code


def test_an_active_key_signs_for_its_own_member_alone() -> None:
    aachen, bonn = _member("aachen", Role.SITE), _member("bonn", Role.SITE)
    membership = _membership(aachen, bonn)
    assert membership.signing_key("aachen", aachen.keys[0].key_id) == aachen.keys[0].public
    assert _code(membership, "bonn", aachen.keys[0]) == "stranger"
    assert _code(membership, "nobody", aachen.keys[0]) == "stranger"


def test_an_opening_key_never_verifies_a_signature() -> None:
    aachen = _member("aachen", Role.SITE)
    assert _code(_membership(aachen), "aachen", aachen.keys[1]) == "stranger"


def test_a_retired_key_still_signs_and_a_revoked_one_never() -> None:
    old, gone, new = _key(SIGN, "old", RETIRED), _key(SIGN, "gone", REVOKED), _key(SIGN, "new")
    membership = _membership(_member("aachen", Role.SITE, keys=(old, gone, new)))
    assert membership.signing_key("aachen", old.key_id) == old.public
    assert membership.signing_key("aachen", new.key_id) == new.public
    assert _code(membership, "aachen", gone) == "revoked"


def test_a_key_nobody_has_is_a_stranger() -> None:
    assert _code(_membership(_member("aachen", Role.SITE)), "aachen", _key(SIGN, "unknown")) == "stranger"


def test_only_an_active_opening_key_is_sealed_to() -> None:
    retired, active = _key(OPEN, "old", RETIRED), _key(OPEN, "new")
    membership = _membership(_member("aachen", Role.SITE, keys=(_key(SIGN, "s"), retired, active)))
    assert membership.opening_key("aachen") == active
    for keys in ((retired,), (_key(OPEN, "gone", REVOKED),), (_key(SIGN, "s"),), ()):
        with pytest.raises(PeerError, match="no active opening key") as refused:
            _membership(_member("aachen", Role.SITE, keys=keys)).opening_key("aachen")
        assert refused.value.code == "stranger"
    with pytest.raises(PeerError):
        membership.opening_key("nobody")


def test_openers_are_those_who_have_an_active_opening_key_in_the_order_asked_for() -> None:
    gone = _member("aachen", Role.AUDITOR, keys=(_key(SIGN, "s"), _key(OPEN, "gone", REVOKED)))
    lund, bonn = _member("lund", Role.AUDITOR), _member("bonn", Role.AUDITOR)
    openers = _membership(gone, lund, bonn).openers(("lund", "nobody", "aachen", "bonn"))
    assert list(openers.items()) == [("lund", lund.keys[1]), ("bonn", bonn.keys[1])]


def test_a_site_takes_part_in_the_studies_it_names_and_in_all_when_it_names_none() -> None:
    membership = _membership(
        _member("lund", Role.SITE, studies=("breast",)),
        _member("aachen", Role.SITE),
        _member("bonn", Role.SITE, studies=("breast", "lung")),
        _member("hub", Role.COORDINATOR),
    )
    assert membership.sites("lung") == ("aachen", "bonn")
    assert membership.sites("breast") == ("aachen", "bonn", "lund")
    assert membership.with_role(Role.SITE) == ("aachen", "bonn", "lund")
    assert membership.with_role(Role.TRUSTEE) == ()


def test_a_site_whose_signing_keys_are_all_revoked_takes_part_in_nothing() -> None:
    revoked = _member("aachen", Role.SITE, keys=(_key(SIGN, "gone", REVOKED), _key(OPEN, "open")))
    retired = _member("bonn", Role.SITE, keys=(_key(SIGN, "old", RETIRED),))
    assert _membership(revoked, retired).sites("lung") == ("bonn",)


def test_a_member_may_hold_several_roles() -> None:
    membership = _membership(_member("aachen", Role.SITE, Role.TRUSTEE), _member("hub", Role.COORDINATOR))
    assert membership.with_role(Role.TRUSTEE) == membership.sites("lung") == ("aachen",)


@pytest.mark.parametrize("names", [(), ("hub", "pub")])
def test_there_is_exactly_one_coordinator(names: tuple[str, ...]) -> None:
    membership = _membership(_member("aachen", Role.SITE), *(_member(name, Role.COORDINATOR) for name in names))
    with pytest.raises(PeerError, match="one coordinator"):
        _ = membership.coordinator
    assert _membership(_member("hub", Role.COORDINATOR)).coordinator == "hub"


def test_who_is_not_on_the_roster_does_not_belong_even_when_the_record_is_known() -> None:
    aachen, bonn = _member("aachen", Role.SITE), _member("bonn", Role.SITE)
    digests = {hashlib.sha256(member.to_bytes()).digest(): member for member in (aachen, bonn)}
    digest = next(digest for digest, member in digests.items() if member is aachen)
    membership = assemble(Roster(4, (("aachen", digest),)), ROSTER, digests)
    assert set(membership.members) == {"aachen"}
    assert (membership.serial, membership.digest) == (4, ROSTER)
    assert _code(membership, "bonn", bonn.keys[0]) == "stranger"


def test_a_roster_whose_member_is_not_on_the_log_is_not_usable_yet() -> None:
    with pytest.raises(PeerError, match=r"serial 2 names a record of aachen"):
        assemble(Roster(2, (("aachen", b"\x01" * 32),)), ROSTER, {})


def test_a_roster_that_names_a_record_of_somebody_else_is_refused() -> None:
    aachen = _member("aachen", Role.SITE)
    digest = hashlib.sha256(aachen.to_bytes()).digest()
    with pytest.raises(PeerError, match="record of bonn"):
        assemble(Roster(2, (("bonn", digest),)), ROSTER, {digest: aachen})


def test_two_members_cannot_claim_the_same_key() -> None:
    key = _key(SIGN, "shared")
    with pytest.raises(PeerError, match="claim the same key"):
        _membership(_member("aachen", Role.SITE, keys=(key,)), _member("bonn", Role.SITE, keys=(key,)))


def test_keys_are_not_shown_by_repr() -> None:
    aachen = _member("aachen", Role.SITE)
    assert "_keys" not in repr(_membership(aachen))
