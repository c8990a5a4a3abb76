"""A job that is added to a site touches the files that CONTRIBUTING.md names: two of its own, and two tables.

The job is made up here, in the places that the recipe names; all else follows from what it says.
"""

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest

from participant.core import effects as do
from participant.core import events as seen
from participant.core import study
from participant.core.effects import Effect, State
from participant.core.events import Event
from participant.core.jobs import JOBS
from participant.core.jobs.job import Ground, Next
from participant.core.jobs.job import Job as CoreJob
from participant.core.pauses import TRIES_MAX
from participant.core.restored import Restored
from participant.shell.jobs import JOBS as SHELL_JOBS
from participant.shell.jobs import doing
from participant.shell.jobs.doing import Doing
from participant.shell.jobs.job import Job as ShellJob
from participant.shell.jobs.job import Means
from tests.participant.driving import Driver
from tests.schemas.plans import PLAN


@dataclass(frozen=True, slots=True)
class Explain:
    """participant/core/effects.py: one line in `Effect`."""

    version: int


EXPLAIN = cast(Effect, Explain(100))


@dataclass(frozen=True, slots=True)
class Explained:
    """participant/core/events.py: one line in `Event`."""

    version: int
    done: bool


class Explanation(CoreJob):
    """participant/core/jobs/explanation.py, and a line in JOBS: every hundredth version is explained once."""

    kind = "explain"
    fails = "explaining versions has failed"
    to_do = "ask the task's author"
    hears = (cast(type[Event], Explained),)

    def __init__(self, ground: Ground, restored: Restored) -> None:
        super().__init__(ground, restored)
        self._explained = -1

    def version_of(self, event: Event) -> int | None:
        return cast(Any, event).version  # type: ignore[no-any-return]  # of Explained

    def wants(self, version: int) -> bool:
        return version > self._explained and version % 100 == 0

    def begin(self, version: int, now_ms: int) -> Effect | None:
        may = self.wants(version) and self._pauses.over(self.kind, now_ms)
        return cast(Effect, Explain(version)) if may else None

    def ended(self, event: Event, now_ms: int) -> Next | None:
        told = cast(Any, event)
        if told.done:
            self._pauses.passed(self.kind)
            self._explained = told.version
        else:
            self._pauses.failed(self.kind, now_ms)
        return None


class Explaining(ShellJob):
    """participant/shell/jobs/explaining.py, and a line in JOBS."""

    async def do(self, effect: Effect) -> Event:
        version = cast(Any, effect).version
        await asyncio.sleep(0)
        return cast(Event, Explained(version, done=True))


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Driver:
    """A site with the job, right behind measuring."""
    monkeypatch.setattr(study, "JOBS", (JOBS[0], Explanation, *JOBS[1:]))
    return Driver()


def told(site: Driver, version: int, *, done: bool = True) -> list[Effect]:
    return site.tell(cast(Event, Explained(version, done)))


def test_a_new_job_has_its_turn_with_the_version_that_it_wants_and_training_follows(site: Driver) -> None:
    assert site.join(100) == [do.Fetch(100)]
    assert site.tell(seen.Fetched(100)) == [EXPLAIN]
    assert site.shown() is State.TRAINING
    assert told(site, 100) == [do.Train(100, 0)]
    assert told(site, 100) == [], "nothing is heard of what is over"


def test_a_version_that_a_new_job_does_not_want_goes_past_it(site: Driver) -> None:
    site.join(7)
    assert site.tell(seen.Fetched(7)) == [do.Train(7, 0)]


def test_training_does_not_wait_for_a_new_job_that_failed(site: Driver) -> None:
    site.join(100)
    site.tell(seen.Fetched(100))
    assert told(site, 100, done=False) == [do.Train(100, 0)]


def test_a_new_job_that_fails_is_tried_again_after_pauses_and_people_are_told(site: Driver) -> None:
    site.join(100)
    site.tell(seen.Room(False))  # nothing is trained meanwhile
    said = site.tell(seen.Fetched(100))
    for _ in range(TRIES_MAX):
        assert said == [EXPLAIN]
        said = told(site, 100, done=False) or site.wait()
    assert [one.message for one in said if isinstance(one, do.Alarm)] == [
        f"explaining versions has failed {TRIES_MAX} times in a row, and is tried again with growing pauses; "
        "ask the task's author"
    ]
    assert "explaining versions has failed" in site.core.held


def test_a_new_job_is_stopped_with_everything_else(site: Driver) -> None:
    site.join(100)
    site.tell(seen.Fetched(100))
    assert site.tell(seen.Held("paused by the operator", by=seen.Holder.OPERATOR)) == [do.StopWork()]
    assert site.tell(seen.Held("", by=seen.Holder.OPERATOR)) == [EXPLAIN]


async def test_a_new_job_is_done_by_its_shell_and_its_core_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: dict[Any, type[ShellJob]] = {**SHELL_JOBS, Explain: Explaining}
    monkeypatch.setattr(doing, "JOBS", jobs)
    heard: asyncio.Queue[Event] = asyncio.Queue()
    services = SimpleNamespace(spawn=asyncio.ensure_future)
    does = Doing(cast(Means, SimpleNamespace(services=services, plan=PLAN)), heard.put_nowait)
    assert does.take(EXPLAIN)
    assert await heard.get() == cast(Event, Explained(100, done=True))
    assert does.take(EXPLAIN)
    assert does.take(do.StopWork())
    await asyncio.sleep(0.01)
    assert heard.empty(), "what was stopped is not heard of"
