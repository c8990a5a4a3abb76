"""Whatever happens in whatever order: the core counts each update once or answers it, and goes on."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coordinator.core.events import BodyReady, Hold
from schemas.plan import Plan
from schemas.records import Action, Outcome, Stop
from tests.coordinator.driver import BOUND, Driver
from tests.coordinator.log import Body, Ending
from tests.coordinator.plans import plan_of

SITES = ("a", "b", "c", "d", "e")
PLANS = (
    plan_of(goal=3),
    plan_of(goal=1),
    plan_of(goal=4, minimum=2, deadline_ms=5000),
    plan_of(goal=4, minimum=3, floor=2, deadline_ms=5000),
    plan_of(goal=2, versions=4),
    plan_of(goal=5, minimum=1, deadline_ms=1000, time_s=60),
)
Step = tuple[str, int, int]
WRONG: tuple[dict[str, Any], ...] = (
    {"plan": b"\x01" * 32},
    {"base": 1_000_000},
    {"base_digest": b"\x02" * 32},
    {"d": 7},
    {"trustees": 1},
    {"cohort_min": 900},
    {"code": "malformed"},
)


def _ghost(driver: Driver, site: str, number: int) -> None:
    """News of a fetch that was given up, too late to be stopped; another one of the same body may be under way."""
    under_way = {fetch.number for fetch in driver.fetching.values()}
    late = [answer for answer in driver.answers if answer.fetch not in under_way]
    driver.on(late[-1 - number % min(len(late), 8)] if late else BodyReady(site, number, 0))


def _leave(driver: Driver, site: str, number: int) -> None:
    driver.change_members(driver.members - {site} if site in driver.members else driver.members | {site})


def _again(driver: Driver, site: str, number: int) -> None:
    """A site that never got its receipt, or repeats itself: an update once more, whatever was answered."""
    sent = [one[0].sequence for one in driver.log.offers[site] if one]
    if sent:
        driver.offer_again(site, sent[number % len(sent)], body=list(Body)[number % 3])


def _die(driver: Driver, site: str, number: int) -> None:
    driver.die_after = number % 7


def _end_otherwise(driver: Driver, site: str, number: int) -> None:
    driver.ending = (Ending.FAIL, Ending.DIE, Ending.LATER, Ending.ASK_AND_DIE)[number % 4]


def _leave_together(driver: Driver, site: str, number: int) -> None:
    driver.change_members(driver.members - set(SITES[number % 3 :]))


def _exclude_or_include(driver: Driver, site: str, number: int) -> None:
    driver.command(Action.INCLUDE if site in driver.log.orders.excluded else Action.EXCLUDE, site=site)


STEPS: dict[str, Callable[[Driver, str, int], Any]] = {
    "offer": lambda driver, site, number: driver.offer(site),
    "send": lambda driver, site, number: driver.send(site),
    "offer late": lambda driver, site, number: driver.offer(site, base=max(0, driver.log.version - number % 6)),
    "offer with a floor": lambda driver, site, number: driver.offer(site, cohort_min=1 + number % 5),
    "offer a bad body": lambda driver, site, number: driver.offer(site, body=list(Body)[1 + number % 2]),
    "offer nonsense": lambda driver, site, number: driver.offer(site, **WRONG[number % len(WRONG)]),
    "offer an old sequence": lambda driver, site, number: driver.offer(site, sequence=number % 12),
    "offer again": _again,
    "presence": lambda driver, site, number: driver.presence(site),
    "evaluate": lambda driver, site, number: driver.evaluate(site, number) if site in driver.members else None,
    "read": lambda driver, site, number: driver.read(site),
    "read all": lambda driver, site, number: driver.read_all(site),
    "redeliver": lambda driver, site, number: driver.redeliver(site, number % 5),
    "fetch": lambda driver, site, number: driver.fetch(number),
    "fetch all": lambda driver, site, number: driver.fetch_all(),
    "ghost": _ghost,
    "flush": lambda driver, site, number: driver.flush(),
    "wait": lambda driver, site, number: driver.wait(number * 200),
    "leave or join": _leave,
    "bookmark": lambda driver, site, number: driver.bookmark(),
    "crash": lambda driver, site, number: driver.crash(),
    "die between effects": _die,
    "leave together": _leave_together,
    "all join": lambda driver, site, number: driver.change_members(SITES),
    "pause or resume": lambda driver, site, number: driver.command(
        Action.RESUME if driver.log.orders.paused else Action.PAUSE
    ),
    "exclude or include": _exclude_or_include,
    "close the round": lambda driver, site, number: driver.command(Action.CLOSE, version=driver.log.version),
    "next round ends otherwise": _end_otherwise,
    "round ends": lambda driver, site, number: driver.end_round(failed=number % 4 == 0),
}
plans = st.integers(0, len(PLANS) - 1)
short = st.lists(
    st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, len(SITES) - 1), st.integers(0, 30)), max_size=60
)


def long_story(seed: int) -> list[Step]:
    """Hundreds of steps, most of them work that goes well, in a mood of its own: some steps come often, some never."""
    chance = random.Random(seed)
    names = sorted(STEPS)
    mood = [chance.choice((0, 1, 1, 6)) for _ in names]
    mood[names.index("offer")] = mood[names.index("read all")] = mood[names.index("fetch all")] = 8
    drawn = chance.choices(names, mood, k=300)
    return [(name, chance.randrange(len(SITES)), chance.randrange(31)) for name in drawn]


steps = short | st.integers(0, 2**32 - 1).map(long_story)
plays = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def play(plan: Plan, story: list[Step], *, obey_hold: bool = True, apart: bool = False) -> Driver:
    """Live through a story; the driver asserts at every step."""
    driver = Driver(plan, SITES, obey_hold=obey_hold, apart=apart)
    for step, site, number in story:
        STEPS[step](driver, SITES[site], number)
        assert not obey_hold or driver.remembered_max() <= BOUND
    return driver


@given(plans, steps, st.booleans(), st.booleans())
@plays
def test_each_offer_is_counted_once_or_answered(which: int, story: list[Step], obey_hold: bool, apart: bool) -> None:
    driver = play(PLANS[which], story, obey_hold=obey_hold, apart=apart)
    driver.settle()
    counted = driver.counted()
    assert max(counted.values(), default=1) == 1
    assert {name for name, (outcome, _) in driver.log.decided.items() if outcome == Outcome.COUNTED} == set(counted)
    waiting = {(site, offer.sequence) for site, offers in driver.undecided().items() for offer in offers}
    for site, topic in driver.log.offers.items():
        finals = [name[1] for name, (outcome, _) in driver.log.decided.items() if name[0] == site and outcome != 4]
        for sent in topic:
            overtaken = sent is not None and sent[0].sequence < max(finals, default=-1)
            assert sent is None or overtaken or sent[0].sequence in finals or (site, sent[0].sequence) in waiting


@given(plans, steps, st.booleans())
@plays
def test_what_waits_is_too_little_for_a_version(which: int, story: list[Step], apart: bool) -> None:
    driver = play(PLANS[which], story, apart=apart)
    driver.settle()
    floors = sorted(offers[0].cohort_min for offers in driver.undecided().values())
    if driver.log.stop is not Stop.NONE:
        assert not floors
        return
    rule = PLANS[which].aggregation
    hurried = driver.log.version in driver.log.orders.closing
    needed = rule.minimum if rule.deadline_ms or hurried else rule.goal
    largest = max(
        (size for size in range(len(floors) + 1) if sum(floor <= size for floor in floors) >= size), default=0
    )
    assert largest < needed


@given(plans, steps, st.integers(0, 40))
@plays
def test_a_crash_at_the_end_changes_no_answer(which: int, story: list[Step], number: int) -> None:
    driver = play(PLANS[which], story)
    decided, receipts = dict(driver.log.decided), dict(driver.log.receipts)
    driver.crash()
    for site in SITES:
        for back in range(number % 9):
            driver.redeliver(site, back)
    for name, answer in decided.items():
        assert driver.log.decided[name] == answer or answer[0] == Outcome.AGAIN
    for site, receipt in receipts.items():
        assert driver.core.next_offset(site) >= receipt.next_offset


def test_repro_a_repetition_that_again_has_answered_is_not_remembered() -> None:
    play(PLANS[0], long_story(40902))


@given(st.lists(st.tuples(st.sampled_from(SITES), st.booleans()), min_size=1, max_size=60), st.integers(1, 5))
@plays
def test_honest_sites_lose_nothing_whatever_the_order_between_them(order: list[tuple[str, bool]], goal: int) -> None:
    driver = Driver(plan_of(goal=goal), SITES)
    for site, crash in order:
        driver.offer(site)
        if crash:
            driver.crash()
        driver.read(site)
        driver.fetch_all()
    driver.settle()
    for outcome, code in driver.log.decided.values():
        assert outcome == Outcome.COUNTED or code == "stale"
    offered = sum(len(topic) for topic in driver.log.offers.values())
    assert offered == len(driver.log.decided) + sum(len(offers) for offers in driver.undecided().values())
    assert len(driver.undecided()) < goal


@pytest.mark.parametrize("plan", PLANS)
def test_a_site_that_floods_is_held_and_released(plan: Plan) -> None:
    driver = Driver(plan, SITES)
    for _ in range(60):
        driver.offer("a", base=0)
    driver.read_all("a")
    assert driver.remembered_max() <= BOUND
    if plan.aggregation.goal > 1:
        assert any(isinstance(effect, Hold) for _, _, effects in driver.heard for effect in effects)
    while driver.log.stop is Stop.NONE and driver.undecided():
        for site in SITES[1:]:
            driver.send(site)
        driver.read_all("a")
        driver.fetch_all()
        assert driver.remembered_max() <= BOUND
    driver.settle()
    assert not driver.undecided().get("a")


@pytest.mark.parametrize("many", [10, 100, 1000])
def test_a_reader_that_delivers_on_after_hold_overwhelms_nothing(many: int) -> None:
    """A batch is on its way when Hold is said: what is answered then must not deepen with its length."""
    driver = Driver(plan_of(goal=2, versions=1), SITES, obey_hold=False)
    for _ in range(many):
        driver.offer("a")
    driver.read_all("a")
    driver.fetch_all()
    driver.send("b")
    assert driver.log.stop is Stop.VERSIONS
    driver.flush()
    assert {code for outcome, code in driver.log.decided.values() if outcome == Outcome.REFUSED} == {"final"}
    assert len(driver.log.decided) == many + 1
    assert not driver.held
