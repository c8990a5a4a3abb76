"""A site that is heard far less than it is there is named, with what the log tells of the reason."""

from collections.abc import Callable

import pytest

from audit.history import StudyHistory
from audit.standing import EXPECTED_MIN, Standing, failing, standings
from schemas.records import Outcome, Presence, SiteState, Trouble
from tests.wardround.synthetic import START_MS, STUDY, announcement, history, offer, plan, receipt, request
from wardround.commands.status import study_lines, study_values
from wardround.report.comparison import compare
from wardround.report.page import render

VERSIONS = 20
STEP_MS = 1000
PERIOD_S = 2.0


def study(
    counted_of_one: int,
    tell: Callable[[int], Presence | None],
    *,
    also: Callable[[StudyHistory], None] = lambda _: None,
) -> StudyHistory:
    """Four sites, three of them in each version; site-1 in so many, and telling `tell(version)` of itself."""
    grown = StudyHistory(plan(versions=VERSIONS), bytes(32), {f"site-{number}": "" for number in range(1, 5)})
    grown.feed(announcement(0, 0, closes=False), START_MS)
    for version in range(VERSIONS):
        at_ms = START_MS + version * STEP_MS
        others = [f"site-{2 + (version + more) % 3}" for more in range(3)]
        cohort = ["site-1", *others[:2]] if version < counted_of_one else others
        for site in [f"site-{number}" for number in range(1, 5)]:
            told = tell(version) if site == "site-1" else presence(SiteState.WAITING, site)
            if told is not None:
                grown.feed(told, at_ms)
            if site in cohort:
                grown.feed(offer(site, version, version), at_ms + 10)
        grown.feed(request(2 * version + 1, version, tuple((site, version, 16) for site in cohort)), at_ms + 500)
        final = version + 1 == VERSIONS
        grown.feed(announcement(2 * version + 2, version + 1, n=3, final=final), at_ms + 500)
    also(grown)
    return grown


def presence(state: SiteState, site: str = "site-1", *troubles: tuple[Trouble, int]) -> Presence:
    return Presence(site, ((STUDY, int(state)),), "test", tuple((STUDY, int(what), count) for what, count in troubles))


def of_one(grown: StudyHistory) -> Standing:
    assert grown.ended_ms is not None
    return next(one for one in standings(grown, grown.ended_ms, PERIOD_S) if one.site == "site-1")


def training(_: int) -> Presence:
    return presence(SiteState.TRAINING)


def test_a_site_that_is_there_and_hardly_heard_is_warned_of() -> None:
    found = of_one(study(2, training))
    assert (found.counted, found.presence) == (2, 1.0)
    assert found.share == pytest.approx(2 / 3 / VERSIONS)
    assert found.by_presence == pytest.approx(0.25)
    assert found.warning == "3% of the model, by its presence it would be 25%: it spends most of its time training"


def test_a_site_that_was_away_as_long_is_not() -> None:
    found = of_one(study(2, lambda version: presence(SiteState.WAITING) if version < 2 else None))
    assert found.warning is None
    assert found.presence <= 0.3


def test_a_site_that_is_heard_as_often_as_others_is_not() -> None:
    assert of_one(study(15, training)).warning is None


def test_nobody_is_warned_of_while_chance_alone_could_do_it() -> None:
    grown = history(versions=3)
    found = standings(grown, START_MS + 10_000, PERIOD_S)
    assert all(one.by_presence * grown.counted < EXPECTED_MIN for one in found)
    assert not any(one.warning for one in found)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (presence(SiteState.IDLE, "site-1", (Trouble.TRAINER, 4)), "its trainer was lost 4 times"),
        (presence(SiteState.FAILING, "site-1", (Trouble.SEAL, 9)), "storing a finished update failed 9 times in a row"),
        (presence(SiteState.SENDING), "a slow link"),
        (presence(SiteState.FETCHING), "a slow link"),
        (presence(SiteState.LOADING), "most of its time loading task and data"),
        (presence(SiteState.PAUSED), "it was paused or held most of the time"),
        (presence(SiteState.IDLE), "it has offered nothing"),
    ],
)
def test_the_reason_is_told_where_the_log_knows_it(told: Presence, why: str) -> None:
    assert why in (of_one(study(0, lambda _: told)).warning or "")


def test_updates_that_came_too_late_are_a_reason() -> None:
    def late(grown: StudyHistory) -> None:
        for sequence in range(100, 104):
            grown.feed(offer("site-1", sequence, 0), START_MS + 1)
            grown.feed(receipt("site-1", sequence, Outcome.REFUSED, code="stale"), START_MS + 2)

    assert "4 of its updates came too late (stale)" in (of_one(study(1, training, also=late)).warning or "")


def test_where_the_log_knows_no_reason_it_says_where_to_look() -> None:
    assert "see the participant's log" in (of_one(study(1, lambda _: presence(SiteState.IDLE))).warning or "")


def test_status_warns_of_it_and_of_what_fails_now() -> None:
    grown = study(2, training)
    assert grown.ended_ms is not None
    lines = study_lines(grown, grown.ended_ms)
    assert [line for line in lines if "warning" in line] == [
        "  warning: site-1: 3% of the model, by its presence it would be 25%: it spends most of its time training"
    ]
    broken = study(15, lambda _: presence(SiteState.FAILING, "site-1", (Trouble.EVALUATE, 7)))
    values = study_values(broken, grown.ended_ms)
    assert [site["warnings"] for site in values["sites"]] == [
        ["measuring versions failed 7 times in a row"],
        [],
        [],
        [],
    ]
    assert values["sites"][0]["state"] == "failing"


def test_what_failed_before_and_comes_off_now_is_no_warning() -> None:
    grown = study(15, lambda _: presence(SiteState.TRAINING, "site-1", (Trouble.TRAIN, 1)))
    assert failing(grown.sites["site-1"]) is None


def test_the_report_warns_of_it_and_draws_what_fails_as_failing() -> None:
    grown = study(2, lambda _: presence(SiteState.FAILING, "site-1", (Trouble.TRAINER, 4)))
    page = render(grown, compare(grown), period_s=PERIOD_S)
    assert "site-1 was heard far less than it was there" in page
    assert "its trainer was lost 4 times since its service began" in page
    assert "failing, paused" in page
