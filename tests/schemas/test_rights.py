"""The table of rights: what each role may at the broker, and that it is nothing more."""

import pytest

from protocol.signing import SigningKey
from schemas import topics
from schemas.records import KeyState, KeyUse, Member, MemberKey, Role
from schemas.rights import Operation, Resource, Rule, bars, rights_of, rules_of


def member(name: str, *roles: Role, studies: tuple[str, ...] = (), state: KeyState = KeyState.ACTIVE) -> Member:
    key = SigningKey(name.encode().ljust(32, b"."))
    return Member(
        name, name, studies, tuple(sorted(map(int, roles))), (MemberKey(KeyUse.SIGN, key.key_id, key.public, state),)
    )


def may(rules: set[Rule], who: str, operation: Operation, topic: str) -> bool:
    """As a broker judges it: a bar comes first; reading, writing and deleting bring describing along."""
    implied = {Operation.READ, Operation.WRITE, Operation.DELETE} if operation == Operation.DESCRIBE else set()
    fits = [
        rule
        for rule in rules
        if rule.member == who
        and rule.resource == Resource.TOPIC
        and (rule.name in (topic, "*") or (rule.prefix and topic.startswith(rule.name)))
        and rule.operation in {operation, Operation.ALL, *implied}
    ]
    return any(rule.allow for rule in fits) and all(rule.allow for rule in fits)


EVERYBODY = (
    member("north", Role.SITE),
    member("south", Role.SITE, studies=("lung",)),
    member("lead", Role.COORDINATOR),
    member("eye", Role.AUDITOR),
    member("desk", Role.OPERATOR),
)
RULES = rules_of(EVERYBODY, ["lung", "heart"])
READ, WRITE = Operation.READ, Operation.WRITE


@pytest.mark.parametrize(
    ("who", "operation", "topic", "allowed"),
    [
        ("north", WRITE, topics.offers("north"), True),
        ("north", WRITE, topics.bodies("north"), True),
        ("north", WRITE, topics.offers("south"), False),
        ("north", READ, topics.offers("south"), False),
        ("north", READ, topics.bodies("south"), False),
        ("north", READ, topics.offers("north"), True),
        ("north", READ, topics.bodies("north"), False),
        ("north", WRITE, topics.renewals("north"), True),
        ("north", WRITE, topics.renewals("south"), False),
        ("north", READ, topics.CERTIFICATES, True),
        ("renewer", READ, topics.renewals("south"), True),
        ("renewer", WRITE, topics.CERTIFICATES, True),
        ("renewer", READ, topics.rounds("lung"), False),
        ("renewer", WRITE, topics.MEMBERS, False),
        ("north", READ, topics.rounds("heart"), True),
        ("south", READ, topics.rounds("heart"), False),
        ("south", READ, topics.models("lung"), True),
        ("north", READ, topics.bookmark("lung"), False),
        ("north", READ, topics.commands("lung"), True),
        ("north", WRITE, topics.commands("lung"), False),
        ("north", WRITE, topics.rounds("lung"), False),
        ("north", WRITE, topics.MEMBERS, False),
        ("north", READ, topics.MEMBERS, True),
        ("north", READ, topics.REGISTRAR_BODIES, False),
        ("lead", READ, topics.bodies("south"), True),
        ("lead", WRITE, topics.offers("south"), False),
        ("lead", WRITE, topics.rounds("heart"), True),
        ("lead", WRITE, topics.commands("heart"), False),
        ("lead", READ, topics.commands("heart"), True),
        ("lead", Operation.DELETE, topics.models("heart"), True),
        ("lead", Operation.DELETE, topics.rounds("heart"), False),
        ("lead", WRITE, topics.PLANS, False),
        ("eye", READ, topics.bodies("north"), True),
        ("eye", WRITE, topics.commands("lung"), False),
        ("desk", WRITE, topics.commands("lung"), True),
        ("desk", WRITE, topics.rounds("lung"), False),
        ("desk", READ, topics.offers("north"), True),
        ("stranger", READ, topics.MEMBERS, False),
    ],
)
def test_what_the_table_says(who: str, operation: Operation, topic: str, allowed: bool) -> None:
    assert may(RULES, who, operation, topic) is allowed


def test_nobody_of_a_name_that_begins_like_anothers_gets_its_topics() -> None:
    rules = rules_of([member("north", Role.SITE), member("north-2", Role.SITE)], ["lung", "lung-2"])
    assert not may(rules, "north", WRITE, topics.offers("north-2"))
    narrow = rules_of([member("n", Role.SITE, studies=("lung",))], ["lung", "lung-2"])
    assert not may(narrow, "n", READ, topics.rounds("lung-2"))


def test_a_revoked_member_is_barred_from_everything_and_a_broker_asks_for_that_first() -> None:
    gone = member("north", Role.SITE, Role.COORDINATOR, state=KeyState.REVOKED)
    assert rights_of(gone, ["lung"]) == []
    assert {rule for rule in rules_of([gone], ["lung"]) if rule.member == "north"} == bars("north")
    both = rules_of([member("north", Role.SITE)], ["lung"]) | bars("north")
    assert not may(both, "north", WRITE, topics.offers("north"))
    assert {rule.resource for rule in bars("north")} == set(Resource)


def test_only_who_is_in_the_table_may_use_groups_and_transactions() -> None:
    others = [rule for rule in RULES if rule.resource != Resource.TOPIC]
    assert {rule.member for rule in others} == {"lead"}


def test_every_right_says_why_it_is_there() -> None:
    assert all(right.why for one in EVERYBODY for right in rights_of(one, ["lung"]))
