"""What `plan check` says of a plan: days, bytes, shares, and what deserves a second look."""

from dataclasses import replace
from typing import Any

import pytest

from registry.plans.meaning import meaning
from registry.plans.words import off_of, warnings_of
from tests.registry.plans import plan


def test_a_plan_is_explained_in_days_and_bytes() -> None:
    means = meaning(plan(), 1800.0)
    assert means.absence_s == 20 * 1800  # its table reaches further than the study
    assert means.duration_s == 20 * 1800
    assert means.up_bytes == 20 * (28 + 100 + 2500)  # 20 versions end within the day
    assert means.disk_bytes == 6 * 20 * (28 + 100 + 2500) + 11 * (28 + 100)
    assert means.share_most == pytest.approx(2 / 3)
    assert [text.split(":")[0] for text in off_of(plan())] == ["no masking", "no noise", "no auditor"]
    assert warnings_of(plan(), 1800.0) == []


@pytest.mark.parametrize(
    ("sections", "round_s", "warning"),
    [
        ({"aggregation": {"goal": 8, "minimum": 3, "cohort_min": 3}}, 600.0, "goal 8 is above the 6 sites"),
        ({"aggregation": {"goal": 6, "minimum": 6}}, 600.0, "every version waits for all 6 sites"),
        ({"aggregation": {"goal": 2}}, 600.0, "cohorts of two"),
        ({"aggregation": {"staleness_max": 2}}, 36_000.0, "a site that is away for a day loses"),
        ({"aggregation": {"deadline_s": 10}}, 600.0, "the deadline of 10 s is short"),
    ],
)
def test_what_deserves_a_second_look_is_said(sections: dict[str, Any], round_s: float, warning: str) -> None:
    assert any(warning in text for text in warnings_of(plan(**sections), round_s))


def test_a_plan_signed_with_more_days_of_audit_than_the_broker_keeps_is_told_so() -> None:
    signed = plan()
    asked = replace(signed, storage=replace(signed.storage, audit_days=90))
    assert any("audit_days 90: the broker keeps updates for 30 days" in text for text in warnings_of(asked, 600.0))


def test_no_absence_is_longer_than_the_study() -> None:
    assert meaning(plan(aggregation={"staleness_max": 3}), 600.0).absence_s == 3 * 600
    short = plan()
    short = replace(short, stop=replace(short.stop, time_s=900))
    assert meaning(short, 600.0).absence_s == 900
