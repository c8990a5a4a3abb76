"""What a course says of a study agrees with what happened in it."""

from typing import Any

from rehearsal.course import Course
from simulation.plans import plan_of
from simulation.premises import SiteSpec
from simulation.world import World
from tests.simulation.sites import sites_of

HOUR_MS = 3_600_000


def course_of(sites: list[SiteSpec], **plan: Any) -> Course:
    course = Course(spec.name for spec in sites)
    World(plan_of(**plan), sites, seed=1, observers=[course]).run(until_ms=24 * HOUR_MS)
    return course


def test_shares_add_up_to_one_and_updates_to_cohorts() -> None:
    course = course_of(sites_of(5), goal=3, versions=8)
    assert course.versions == 8
    assert course.counted == 24
    assert abs(sum(course.shares().values()) - 1) < 1e-9
    assert sum(site.counted for site in course.sites.values()) == 24
    assert course.version_ms == sorted(course.version_ms)
    assert all(site.up_bytes > 0 and site.down_bytes > 0 for site in course.sites.values())


def test_where_all_are_awaited_all_are_heard_alike_and_never_late() -> None:
    course = course_of(sites_of(4), goal=4, versions=6)
    assert set(course.shares().values()) == {0.25}
    assert round(course.heard(), 9) == 4
    assert dict(course.staleness) == {0: 24}
    assert course.staleness_within(0.95) == 0
    assert course.wasted == 0


def test_what_comes_too_late_is_refused_and_its_training_wasted() -> None:
    """The slow site's link is there only after the others have gone past the table's end."""
    slow = SiteSpec("slow", train_ms=2_000, windows=((0, 2_500), (120_000, 10 * HOUR_MS)))
    course = course_of([*sites_of(3), slow], goal=3, versions=200)
    assert course.refused["stale"] >= 1
    assert course.sites["slow"].wasted_ms >= 1_600
    assert 0 < course.wasted < 0.1
    assert course.values()["refused"] == dict(course.refused)


def test_training_that_is_stopped_half_way_is_wasted_too() -> None:
    """While the slowest site trains the others go past the table's end: it gives up, again and again."""
    slowest = SiteSpec("slowest", train_ms=60_000)
    course = course_of([*sites_of(3), slowest], goal=3, versions=200)
    assert course.sites["slowest"].counted == 0
    assert course.sites["slowest"].wasted_ms > 10_000
    assert course.shares()["slowest"] == 0


def test_work_that_the_end_overtakes_is_neither_counted_nor_wasted() -> None:
    course = course_of(sites_of(5), goal=3, versions=1)
    assert course.counted == 3
    assert course.wasted == 0
    assert not course.refused
