"""Checks go in their order; what waits for one that failed is skipped, and no error ends the round."""

import pytest

from schemas.errors import LocalError, TransientError
from tests.wardround.doctor.cases import machine
from wardround.doctor.case import Case, Who
from wardround.doctor.finding import Check, Finding, Said, Skip, State, exit_code, ok, warning, wrong
from wardround.doctor.run import AnyCheck, Round, all_checks, first_checks, next_checks
from wardround.doctor.shown import lines, summary, values


def check(name: str, said: Said | Exception, *needs: str) -> AnyCheck:
    def look(case: Case) -> Said:
        if isinstance(said, Exception):
            raise said
        return said

    return Check(name, f"{name} is tried", "it means", "do it", "ask them", look, needs)


async def found(*checks: AnyCheck) -> dict[str, Finding]:
    told = list[str]()
    round_ = Round(Case(Who.SITE, machine=machine()), lambda one: told.append(one.name), lambda finding: None)
    await round_.go(checks)
    assert told == [one.name for one in checks]
    return {one.name: one for one in round_.findings}


async def test_what_needs_a_failed_check_is_skipped_and_says_on_which_all_the_way_down() -> None:
    seen = await found(
        check("a", wrong("broken")), check("b", ok("fine"), "a"), check("c", ok("fine"), "b"), check("d", ok("fine"))
    )
    assert [seen[name].state for name in "abcd"] == [State.WRONG, State.SKIPPED, State.SKIPPED, State.OK]
    assert seen["b"].seen == "it depends on `a`"
    assert seen["c"].seen == "it depends on `b`"


async def test_a_warning_holds_nothing_up() -> None:
    seen = await found(check("a", warning("hm")), check("b", ok("fine"), "a"))
    assert seen["b"].state is State.OK


async def test_what_is_not_needed_holds_nothing_up_and_what_waits_for_another_does() -> None:
    seen = await found(
        check("a", Skip("not needed")),
        check("b", ok("fine"), "a"),
        check("c", Skip("waits", on="z")),
        check("d", ok(""), "c"),
    )
    assert [seen[name].state for name in "abcd"] == [State.SKIPPED, State.OK, State.SKIPPED, State.SKIPPED]


@pytest.mark.parametrize(
    "error", [ValueError("strange"), ZeroDivisionError(), TransientError("away"), OSError(5, "io")]
)
async def test_an_error_of_any_kind_is_a_finding_of_the_check_that_raised_it(error: Exception) -> None:
    seen = await found(check("a", error), check("b", ok("fine")))
    assert (seen["a"].state, seen["b"].state) == (State.WRONG, State.OK)
    assert seen["a"].do


async def test_the_hint_of_an_error_is_what_to_do() -> None:
    seen = await found(check("a", LocalError("open to others", hint="run: chmod 600")))
    assert (seen["a"].seen, seen["a"].do, seen["a"].ask) == ("open to others", "run: chmod 600", "ask them")


@pytest.mark.parametrize(
    ("states", "code"),
    [((State.OK, State.SKIPPED), 0), ((State.OK, State.WARNING), 1), ((State.WARNING, State.WRONG), 2), ((), 0)],
)
def test_the_exit_code_is_that_of_the_worst(states: tuple[State, ...], code: int) -> None:
    assert exit_code(Finding("x", state, "", "") for state in states) == code


@pytest.mark.parametrize("who", Who)
def test_each_check_needs_only_what_is_tried_before_it_for_whomever(who: Who) -> None:
    names: list[str] = []
    everywhere = all_checks()
    for one in (*first_checks(who), *next_checks(who)):
        assert one.name not in names
        here = {other.name for other in (*first_checks(who), *next_checks(who))}
        assert all(need in names for need in one.needs if need in here)
        assert all(need in everywhere for need in one.needs)
        names.append(one.name)


def test_what_is_not_well_is_shown_with_what_to_do_and_whom_to_ask() -> None:
    shown = list(
        lines(Finding("reach", State.WRONG, "a connection", "nobody\x1b[2J there", "look", "the network team"))
    )
    assert shown[0].startswith("WRONG")
    assert "\x1b" not in "".join(shown)
    assert [line.strip() for line in shown[1:]] == ["tried: a connection", "do: look", "ask: the network team"]


def test_what_is_well_takes_one_line() -> None:
    assert len(list(lines(Finding("reach", State.OK, "a connection", "it takes connections")))) == 1


def test_a_script_gets_every_field_and_the_exit_code() -> None:
    found = [Finding("reach", State.WRONG, "tried", "seen", "do", "ask")]
    assert values(found) == {
        "findings": [{"name": "reach", "state": "wrong", "tried": "tried", "seen": "seen", "do": "do", "ask": "ask"}],
        "exit_code": 2,
    }
    assert "1 wrong" in summary(found)
