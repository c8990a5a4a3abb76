"""How a version is judged by what many sites say of it, and what one site that lies can do and cannot do."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.strategies.stopping import Progress, stop_after
from protocol.judging import Judgement, capped, judge
from schemas.plan import Plan
from schemas.records import Stop
from tests.schemas.plans import changed

Heard = Mapping[str, tuple[float, float]]
NAMES = st.sampled_from("abcdefg")
WORDS = st.tuples(st.integers(-8, 8).map(float), st.integers(1, 40).map(float))
LIES = st.tuples(
    st.one_of(st.sampled_from([-1e100, 1e100, 0.0]), st.floats(-1e12, 1e12)), st.sampled_from([1e-9, 1.0, 9e12])
)
VERSIONS = st.lists(st.dictionaries(NAMES, WORDS, max_size=7), min_size=1, max_size=8)


def plan_of(**stop: Any) -> Plan:
    return changed(stop={"versions": 1000, **stop}, evaluation={"weight_max": 4.0})


def progress_of(plan: Plan, versions: Sequence[Heard]) -> Progress:
    progress = Progress()
    for heard in versions:
        progress = progress.after(judge(plan, heard), higher_is_better=plan.evaluation.higher_is_better)
    return progress


def test_sites_weigh_as_much_as_their_weights_say() -> None:
    assert judge(plan_of(), {"a": (10.0, 1.0), "b": (40.0, 2.0)}).whole == 30.0
    assert judge(plan_of(), {"a": (10.0, 0.0), "b": (40.0, 0.0)}) == Judgement()
    assert judge(plan_of(), {}) == Judgement()


def test_equal_values_are_their_own_mean_whatever_they_weigh() -> None:
    heard = {name: (0.95, 0.1 * number) for number, name in enumerate("abcdef", 1)}
    told = judge(plan_of(), heard)
    assert {told.whole, *told.without.values()} == {0.95}


def test_the_outermost_values_count_as_the_next_ones() -> None:
    heard = {"a": (-1e100, 1.0), "b": (2.0, 1.0), "c": (4.0, 1.0), "d": (6.0, 1.0), "e": (1e100, 1.0)}
    assert judge(plan_of(), heard).whole == (2 + 2 + 4 + 6 + 6) / 5


def test_no_site_weighs_more_than_the_plan_lets_it() -> None:
    assert capped([1.0, 2.0, 3.0, 9e12], 4.0) == [1.0, 2.0, 3.0, 8.0]
    assert capped([], 4.0) == []
    assert capped([0.0, 5.0], 4.0) == [0.0, 5.0]


def test_one_sites_word_judges_nothing_but_in_a_study_of_one_site() -> None:
    assert judge(plan_of(), {"a": (0.9, 5.0)}) == Judgement()
    single = changed(
        sites_expected=1,
        aggregation={"goal": 1, "minimum": 1, "cohort_min": 1},
        stop={"target": 0.5},
    )
    assert judge(single, {"a": (0.9, 5.0)}) == Judgement(0.9)
    assert stop_after(single, version=1, progress=Progress(), judgement=Judgement(0.9)) is Stop.TARGET


@given(st.dictionaries(NAMES, WORDS, min_size=2), LIES)
def test_what_is_said_without_a_site_is_the_same_whatever_it_says(
    heard: dict[str, tuple[float, float]], lie: Any
) -> None:
    for name in heard:
        others = {site: word for site, word in heard.items() if site != name}
        told = judge(plan_of(), heard).without[name]
        assert told == judge(plan_of(), {**heard, name: lie}).without[name]
        assert told == judge(plan_of(), others).whole or len(others) == 1


@given(st.dictionaries(NAMES, WORDS, min_size=1), LIES, st.booleans())
def test_no_single_site_can_end_a_study_by_the_target(
    honest: dict[str, tuple[float, float]], lie: tuple[float, float], higher: bool
) -> None:
    target = 3.0
    plan = changed(stop={"versions": 1000, "target": target}, evaluation={"higher_is_better": higher})
    judgement = judge(plan, {**honest, "liar": lie})
    if stop_after(plan, version=1, progress=Progress(), judgement=judgement) is Stop.TARGET:
        values = [value for value, _ in honest.values()]
        assert max(values) >= target if higher else min(values) <= target
        assert (judgement.without["liar"] >= target) is higher or judgement.without["liar"] == target


@given(VERSIONS, st.lists(LIES, min_size=8, max_size=8), st.integers(1, 3))
def test_no_single_site_can_end_a_study_by_patience_while_the_others_make_progress(
    versions: list[dict[str, tuple[float, float]]], lies: list[tuple[float, float]], patience: int
) -> None:
    """Whoever lies: the study ends by patience only where the words of the others alone would end it as well."""
    plan = plan_of(patience=patience)
    lied = [{**heard, "liar": lie} for heard, lie in zip(versions, lies, strict=False)]
    told, best, spent = progress_of(plan, lied), None, 0
    for heard in lied:
        value = judge(plan, heard).without.get("liar")
        if value is not None:
            best, spent = (value, 0) if best is None or value > best else (best, spent + 1)
    assert told.patience <= spent


@given(st.lists(st.integers(90, 99), min_size=4, max_size=7), LIES)
def test_no_single_site_can_prevent_an_end_that_all_others_agree_on(
    percent: list[int], lie: tuple[float, float]
) -> None:
    honest = {f"s{number}": (value / 100, 10.0) for number, value in enumerate(percent)}
    plan = plan_of(target=0.9)
    judgement = judge(plan, {**honest, "liar": lie})
    assert stop_after(plan, version=1, progress=Progress(), judgement=judgement) is Stop.TARGET


@given(st.lists(st.integers(90, 99), min_size=3, max_size=7), LIES)
def test_a_lie_moves_what_all_say_together_no_further_than_an_honest_site_could(
    percent: list[int], lie: tuple[float, float]
) -> None:
    honest = {f"s{number}": (value / 100, 10.0) for number, value in enumerate(percent)}
    whole = judge(plan_of(), {**honest, "liar": lie}).whole
    assert whole is not None
    assert min(percent) / 100 <= whole <= max(percent) / 100


def test_a_word_of_9e12_patients_ends_nothing() -> None:
    """One site says 1.0 on 9e12 patients; the honest ones stand at 0.6 and rise."""
    plan = plan_of(target=0.9, patience=3)
    progress = Progress()
    for version in range(1, 8):
        honest = dict.fromkeys("abc", (0.6 + 0.01 * version, 40.0))
        judgement = judge(plan, {**honest, "liar": (1.0, 9e12)})
        progress = progress.after(judgement, higher_is_better=True)
        assert stop_after(plan, version=version, progress=progress, judgement=judgement) is Stop.NONE
    assert progress.patience == 0


@pytest.mark.parametrize("sites", [1000])
def test_a_thousand_sites_are_judged_in_a_few_passes(sites: int) -> None:
    heard = {f"s{number:04}": (0.5 + number / 7919, 10.0 + number % 13) for number in range(sites)}
    assert len(judge(plan_of(), heard).without) == sites
