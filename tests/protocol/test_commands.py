"""Whose word holds: an operator of the study, with a rising serial, while the key is not revoked."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.commands import UNKNOWN_MAX, CommandLog
from protocol.digests import record_digest
from protocol.signing import SigningKey
from schemas.errors import PeerError
from schemas.records import Action, Command, KeyState, KeyUse, Member, MemberKey, Presence, Role, Roster
from schemas.roster import Membership, assemble

OPERATOR, DEPUTY, SITE = (SigningKey(bytes([number]) * 32) for number in (1, 2, 3))


def member(name: str, key: SigningKey, role: Role, state: KeyState = KeyState.ACTIVE, *studies: str) -> Member:
    return Member(name, "", studies, (role,), (MemberKey(KeyUse.SIGN, key.key_id, key.public, state),))


def membership(*members: Member) -> Membership:
    digests = {record_digest(one.to_bytes()): one for one in members}
    listed = tuple(sorted((one.name, digest) for digest, one in digests.items()))
    return assemble(Roster(1, listed), bytes(32), digests)


ALL = (member("deputy", DEPUTY, Role.OPERATOR), member("operator", OPERATOR, Role.OPERATOR))
ROSTER = membership(*ALL, member("site", SITE, Role.SITE))


def command(serial: int, action: Action = Action.PAUSE, study: str = "lung") -> Command:
    return Command(study, serial, action, None, None, "")


def log_of(*signed: tuple[SigningKey, Command]) -> CommandLog:
    log = CommandLog("lung")
    for key, one in signed:
        log.add(key.sign(one).to_bytes())
    return log


def test_commands_of_operators_hold_in_the_order_of_the_log() -> None:
    log = log_of((OPERATOR, command(0)), (DEPUTY, command(1, Action.RESUME)), (OPERATOR, command(5)))
    assert [one.serial for one in log.holding(ROSTER)] == [0, 1, 5]
    assert [one.operator for one in log.judge(ROSTER)] == ["operator", "deputy", "operator"]


@given(st.lists(st.integers(0, 6), max_size=12))
def test_whatever_is_written_the_serials_that_hold_rise(serials: list[int]) -> None:
    held = [one.serial for one in log_of(*((OPERATOR, command(serial)) for serial in serials)).holding(ROSTER)]
    assert held == sorted(set(held))
    assert not serials or max(held) == max(serials)


@pytest.mark.parametrize(
    ("key", "one", "reason"),
    [
        (SITE, command(7), "no operator's"),
        (OPERATOR, command(7, study="heart"), "it names study heart"),
        (OPERATOR, command(0), "does not rise"),
    ],
    ids=["a site", "another study", "an old serial"],
)
def test_what_does_not_hold_is_said_and_uses_up_no_serial(key: SigningKey, one: Command, reason: str) -> None:
    log = log_of((OPERATOR, command(0)), (key, one), (OPERATOR, command(1, Action.RESUME)))
    assert [held.serial for held in log.holding(ROSTER)] == [0, 1]
    assert reason in log.judge(ROSTER)[1].reason


def test_a_record_of_another_kind_under_an_operators_key_does_not_hold() -> None:
    log = CommandLog("lung")
    log.add(OPERATOR.sign(Presence("operator", (), "")).to_bytes())
    assert log.holding(ROSTER) == ()


def test_bytes_that_are_no_record_are_left_out() -> None:
    log = CommandLog("lung")
    for value in (b"", b"nonsense", None):
        with pytest.raises(PeerError):
            log.add(value)
    assert log.judge(ROSTER) == []


def test_with_a_revoked_key_all_that_it_commanded_falls_and_with_a_retired_one_nothing() -> None:
    log = log_of((OPERATOR, command(0)), (DEPUTY, command(1, Action.RESUME)))
    for state, held in ((KeyState.RETIRED, [0, 1]), (KeyState.REVOKED, [0])):
        roster = membership(ALL[1], member("deputy", DEPUTY, Role.OPERATOR, state))
        assert [one.serial for one in log.holding(roster)] == held
    assert "revoked" in log.judge(roster)[1].reason


def test_an_operator_of_other_studies_commands_nothing_here() -> None:
    log = log_of((OPERATOR, command(0)))
    assert log.holding(membership(replace(ALL[1], studies=("heart",)))) == ()
    assert log.holding(None) == ()


def test_a_forged_signature_is_left_out_for_good_and_a_key_nobody_knows_may_hold_later() -> None:
    log = CommandLog("lung")
    forged = replace(OPERATOR.sign(command(0)), signature=bytes(64))
    with pytest.raises(PeerError):
        log.add(forged.to_bytes(), ROSTER)
    log.add(DEPUTY.sign(command(1)).to_bytes(), membership(ALL[1]))
    assert log.holding(membership(ALL[1])) == ()
    assert [one.serial for one in log.holding(ROSTER)] == [1]


def test_strangers_without_number_fill_no_memory_and_cover_no_command() -> None:
    log = CommandLog("lung")
    log.add(OPERATOR.sign(command(0)).to_bytes(), ROSTER)
    stranger = SITE.sign(command(7)).to_bytes()
    for _ in range(3 * UNKNOWN_MAX):
        log.add(stranger, ROSTER)
    assert len(log.judge(ROSTER)) <= UNKNOWN_MAX + 1
    assert [one.serial for one in log.holding(ROSTER)] == [0]
