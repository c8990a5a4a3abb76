"""The history of a study tells every update once, whatever order the topics are read in."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.history import OVERTAKEN, SiteHistory, StudyHistory, StudyRecord
from schemas.records import Announcement, Decided, Failed, OpenEvaluation, Outcome, Presence, Request, SiteState, Stop
from tests.wardround.synthetic import START_MS, STUDY, announcement, history, offer, plan, receipt, records, request

ZERO = bytes(32)


def empty() -> StudyHistory:
    made = plan()
    return StudyHistory(made, made.digest)


def test_a_new_study_has_no_version_and_no_seconds() -> None:
    fresh = empty()
    assert (fresh.version, fresh.seconds, fresh.counted, fresh.offered, fresh.refused) == (-1, None, 0, 0, {})


def test_each_counted_update_stands_in_one_version_with_its_weight_and_staleness() -> None:
    grown = empty()
    grown.feed(announcement(0, 0, closes=False), START_MS)
    grown.feed(offer("site-1", 7, 0), START_MS + 5)
    grown.feed(request(1, 0, (("site-1", 7, 16),)), START_MS + 10)
    grown.feed(announcement(2, 1, n=1), START_MS + 10)
    grown.feed(offer("site-2", 9, 0), START_MS + 11)
    grown.feed(request(3, 1, (("site-2", 9, 11),)), START_MS + 20)
    grown.feed(announcement(4, 2, n=1), START_MS + 20)
    first, second = grown.versions[1], grown.versions[2]
    assert [(update.site, update.sequence, update.weight) for update in second.cohort] == [("site-2", 9, 11)]
    assert grown.staleness(first, first.cohort[0]) == 0
    assert grown.staleness(second, second.cohort[0]) == 1
    assert grown.sites["site-2"].decisions[9].version == 2
    assert grown.seconds == 0.02


def test_staleness_is_unknown_when_the_offer_is_no_longer_on_the_log() -> None:
    grown = empty()
    grown.feed(announcement(0, 0, closes=False), START_MS)
    grown.feed(request(1, 0, (("site-1", 7, 16),)), START_MS)
    grown.feed(announcement(2, 1, n=1), START_MS)
    assert grown.staleness(grown.versions[1], grown.versions[1].cohort[0]) is None


def test_a_failed_cohort_makes_no_version_and_its_updates_are_void() -> None:
    grown = empty()
    grown.feed(announcement(0, 0, closes=False), START_MS)
    grown.feed(offer("site-1", 7, 0), START_MS)
    grown.feed(request(1, 0, (("site-1", 7, 16),)), START_MS)
    grown.feed(Failed(STUDY, 2, ZERO, ZERO, "range", ("site-1",)), START_MS)
    grown.feed(receipt("site-1", 7, Outcome.VOID), START_MS)
    assert (grown.version, grown.counted, grown.refused, grown.undecided) == (0, 0, {"void": 1}, 0)


def test_the_final_repeat_of_a_version_ends_the_study_and_makes_no_new_one() -> None:
    grown = empty()
    grown.feed(announcement(0, 0, closes=False), START_MS)
    grown.feed(announcement(1, 0, closes=False, final=True), START_MS + 50)
    assert (grown.final, grown.stop, len(grown.versions), grown.seconds) == (True, Stop.VERSIONS, 1, 0.05)


def test_refusals_are_counted_by_code_and_once_each() -> None:
    grown = empty()
    for sequence in (1, 2):
        grown.feed(offer("site-1", sequence, 0), START_MS)
        late = receipt("site-1", sequence, Outcome.REFUSED, code="stale", recent=_recent(sequence))
        grown.feed(late, START_MS)
        grown.feed(late, START_MS)
    assert (grown.refused, grown.offered, grown.undecided) == ({"stale": 2}, 2, 0)


def _recent(upto: int) -> tuple[Decided, ...]:
    return tuple(Decided(number, int(Outcome.REFUSED), "stale", None, 0) for number in range(1, upto))


def test_again_is_no_answer_and_a_later_one_replaces_it() -> None:
    grown = empty()
    grown.feed(offer("site-1", 1, 0), START_MS)
    grown.feed(receipt("site-1", 1, Outcome.AGAIN), START_MS)
    assert grown.undecided == 1
    grown.feed(receipt("site-1", 1, Outcome.COUNTED, version=1, weight=16), START_MS)
    assert grown.sites["site-1"].decisions[1].outcome == Outcome.COUNTED


@pytest.mark.parametrize("offers_first", [True, False])
def test_an_offer_below_a_final_receipt_that_nobody_remembers_was_overtaken(offers_first: bool) -> None:
    grown = empty()
    answer = receipt("site-1", 9, Outcome.COUNTED, version=3, weight=16)
    offers = [offer("site-1", 1, 0), offer("site-1", 9, 0)]
    order: list[StudyRecord] = [*offers, answer] if offers_first else [answer, *offers]
    for record in order:
        grown.feed(record, START_MS)
    assert grown.refused == {OVERTAKEN: 1}
    assert grown.offered == 2


def test_a_site_is_away_after_two_missed_presence_periods() -> None:
    grown = empty()
    grown.feed(Presence("site-1", ((STUDY, int(SiteState.TRAINING)),), "x"), START_MS)
    site = grown.sites["site-1"]
    assert site.state(START_MS + 2000, period_s=1.0) == SiteState.TRAINING
    assert site.state(START_MS + 2001, period_s=1.0) is None
    assert grown.site("site-9").state(START_MS, period_s=1.0) is None


def test_the_time_line_has_no_gap_and_shows_silence() -> None:
    grown = empty()
    for at_ms, state in ((0, SiteState.IDLE), (500, SiteState.TRAINING), (5500, SiteState.SENDING)):
        grown.feed(Presence("site-1", ((STUDY, int(state)),), "x"), START_MS + at_ms)
    spans = [
        (span.start_ms - START_MS, span.end_ms - START_MS, span.state)
        for span in grown.sites["site-1"].spans(START_MS + 6000, period_s=1.0)
    ]
    assert spans == [
        (0, 500, SiteState.IDLE),
        (500, 5500, None),
        (5500, 6000, SiteState.SENDING),
    ]


def test_effective_shares_add_up_to_one_and_follow_the_weights() -> None:
    grown = empty()
    grown.feed(announcement(0, 0, closes=False), START_MS)
    grown.feed(request(1, 0, (("site-1", 1, 16), ("site-2", 1, 4))), START_MS)
    grown.feed(announcement(2, 1, n=2), START_MS)
    grown.feed(request(3, 1, (("site-1", 2, 16),)), START_MS)
    grown.feed(announcement(4, 2, n=1), START_MS)
    assert grown.effective_shares() == {"site-1": 0.9, "site-2": 0.1}


def test_the_overall_metric_weighs_sites_as_the_plan_says_and_carries_the_last_judgement_on() -> None:
    grown = empty()
    grown.feed(_judged("site-1", 0, metric=0.5, pairs=30), START_MS)
    grown.feed(_judged("site-2", 0, metric=0.8, pairs=10), START_MS)
    grown.feed(_judged("site-1", 1, metric=0.7, pairs=30), START_MS)
    assert grown.overall(0) == 0.575
    assert grown.overall(1) == 0.725
    assert grown.overall(0, "auc") is None


def _judged(site: str, version: int, *, metric: float, pairs: int) -> OpenEvaluation:
    values = (("c-index", round(metric * 1e6)), ("pairs", pairs * 10**6))
    return OpenEvaluation(STUDY, site, version, ZERO, values)


@cache
def straight_history(seed: int) -> StudyHistory:
    return history(seed, versions=8)


@given(st.integers(0, 49), st.permutations(["rounds", "Receipt", "Offer", "Presence", "Evaluation"]))
def test_whatever_order_the_topics_come_in_the_counts_are_the_same(seed: int, order: list[str]) -> None:
    straight = straight_history(seed)
    by_topic: dict[str, list[tuple[int, StudyRecord]]] = {}
    for at_ms, record in records(seed, versions=8):
        topic = "rounds" if isinstance(record, Announcement | Request) else type(record).__name__
        by_topic.setdefault(topic, []).append((at_ms, record))
    made = plan(versions=8)
    other = StudyHistory(made, made.digest)
    for name in order:
        for at_ms, record in by_topic.get(name, []):
            other.feed(record, at_ms)
    assert other.refused == straight.refused
    assert other.counted == straight.counted
    assert other.offered == straight.offered
    assert other.effective_shares() == straight.effective_shares()
    assert [[other.staleness(v, u) for u in v.cohort] for v in other.versions.values()] == [
        [straight.staleness(v, u) for u in v.cohort] for v in straight.versions.values()
    ]


class Counted(dict[str, float]):
    """Metrics that count how often somebody looks for one."""

    looks = 0

    def __contains__(self, name: object) -> bool:
        Counted.looks += 1
        return super().__contains__(name)


def test_a_long_studys_metric_is_found_without_a_look_at_every_version() -> None:
    site = SiteHistory("site-1")
    for version in (*range(0, 1000, 2), *range(1, 1000, 2), 2**62):  # also one that nobody has announced
        site.measured(version, Counted({"auc": float(version)} if version != 998 else {"n-test": 9.0}))
    Counted.looks = 0
    assert [site.newest("auc", until=until) for until in (0, 500, 998)] == [0.0, 500.0, 997.0]
    assert site.newest("auc") == 2.0**62
    assert Counted.looks == 5
    assert site.newest("mse", until=3) is None
