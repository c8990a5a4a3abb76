"""When a study that is tried gets a word of advice, and when it gets none."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning import advice


def test_clipped_updates_are_counted_with_the_longest_and_a_clip_that_would_do() -> None:
    [said] = advice.of_clip([0.5] * 15 + [4.1] * 5, 1.0)
    assert "5 of 20 (25%)" in said
    assert "the longest 4.1" in said
    assert "encoding.clip 10" in said
    assert advice.of_clip([0.5] * 19 + [4.1], 1.0) == []  # a bound, not a brake
    assert advice.of_clip([], 1.0) == []


@given(st.floats(1e-6, 1e6))
def test_a_clip_that_is_proposed_leaves_room_and_no_more_than_needed(longest: float) -> None:
    assert 2 * longest <= advice.clip_for(longest) * (1 + 1e-9)
    assert advice.clip_for(longest) <= 5.0001 * longest


def test_a_clip_for_nothing_is_one() -> None:
    assert advice.clip_for(0.0) == advice.clip_for(math.inf) == 1.0


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ((1.0, 1.1, 0.2), "too large"),
        ((1.0, math.nan, 0.2), "too large"),
        ((1.0, 0.9, 0.2), "12% of the way"),
        ((1.0, 0.3, 0.2), None),
        ((1.0, 0.9, 1.0), None),  # pooled training went nowhere either
    ],
    ids=["rises", "nan", "slow", "learns", "hopeless"],
)
def test_a_rate_that_is_far_off_shows_in_the_training_loss(
    losses: tuple[float, float, float], said: str | None
) -> None:
    found = advice.of_learning(losses[0], losses[1], losses[2])
    assert (said in found[0]) if said else (found == [])


@pytest.mark.parametrize("higher", [True, False])
def test_a_federation_below_alone_is_said(higher: bool) -> None:
    good, bad = (0.8, 0.7) if higher else (0.7, 0.8)
    [said] = advice.of_comparison(good, bad, higher_is_better=higher, metric="auc")
    assert f"auc {bad:.3f} against {good:.3f}" in said
    assert advice.of_comparison(bad, good, higher_is_better=higher, metric="auc") == []


@pytest.mark.parametrize(("rate", "said"), [(1e30, "large"), (0.5, "large"), (1e-9, "small"), (0.01, "")])
def test_a_rate_alone_may_be_absurd(rate: float, said: str) -> None:
    assert [said in one for one in advice.of_rate("adam", rate)] == ([True] if said else [])


def test_adams_longest_update_is_compared_with_the_clip() -> None:
    assert "up to 10 long, the clip is 1" in advice.of_longest("adam", 0.1, 10, 100, 1.0)[0]
    assert advice.of_longest("adam", 0.1, 10, 100, 5.0) == []
    assert advice.of_longest("sgd", 0.1, 10, 100, 1.0) == []
