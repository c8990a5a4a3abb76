"""Loading one study's task and data: what is waited for, what ends the service, and what is said meanwhile."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from participant.core.approvals import Approvals
from participant.core.space import OutboxSpace
from participant.settings import Study
from participant.shell.metrics import ParticipantMetrics
from participant.shell.setup import Ready, Setup
from participant.training.answers import Loaded
from participant.training.client import Load
from participant.training.errors import LoadError, TrainerRefusedError
from participant.training.launch import TrainerLostError
from participant.training.reasons import Reason
from tests.participant.driving import plan

LOADED = Loaded(parameters=100, metric="accuracy", higher_is_better=True, examples=12, bytes_data=96)
GONE = LoadError("the data folder is not there", hint="is the share mounted?", mends=True)
KILLED = TrainerLostError("the trainer was killed; is the machine short of memory?", reason=Reason.KILLED)


@dataclass
class House:
    """A setup over a trainer whose answers are written down: an error, or what it loads; the last one for ever."""

    answers: list[Exception | Loaded]
    jitter: Callable[[], float] = lambda: -1.0  # no pause but a millisecond
    only: bool = True
    undecided: int = 0
    options: dict[str, str] = field(default_factory=dict)
    outbox_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        self.asked: list[Load] = []
        self.held: list[str] = []
        self.told = asyncio.Event()
        self.metrics = ParticipantMetrics()
        store = SimpleNamespace(rows=lambda study: [object()] * self.undecided)
        services = SimpleNamespace(
            name="site-1", trainer=self, store=store, metrics=self.metrics, space=OutboxSpace(self.outbox_bytes)
        )
        study = Study("00" * 32, data=Path("/srv/lung"), options=self.options)
        self.setup = Setup(
            cast(Any, services), plan(), study, Approvals(frozenset()), only=self.only, jitter=self.jitter
        )

    async def load(self, load: Load) -> Loaded:
        self.asked.append(load)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def ready(self) -> Ready:
        async with asyncio.timeout(5):
            return await self.setup.ready(self._tell)

    def _tell(self, error: LoadError) -> None:
        self.held.append(str(error))
        self.told.set()

    def counted(self, name: str, **labels: str) -> float:
        name, labels = f"wardround_participant_{name}_total", {"study": "demo", **labels}
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


async def test_data_that_are_not_there_yet_are_waited_for_by_the_only_study_too() -> None:
    house = House([GONE, GONE, LOADED])
    assert await house.ready() == Ready(LOADED, plan().aggregation.cohort_min)
    assert house.held == ["the data folder is not there"] * 2


async def test_a_trainer_that_dies_while_it_loads_is_counted_alarmed_and_asked_again_with_pauses() -> None:
    house = House([KILLED, KILLED, KILLED, LOADED])
    await house.ready()
    assert "short of memory?, while it loaded task and data" in house.held[0]
    assert house.counted("trainings_failed", reason="killed") == 3
    assert house.counted("alarms") == 1


async def test_a_task_that_fails_on_the_data_is_tried_again() -> None:
    house = House([TrainerRefusedError(Reason.TASK, "MemoryError in task.py, line 3"), LOADED])
    await house.ready()
    assert house.held == ["study demo: the task cannot load this site's data: MemoryError in task.py, line 3"]


async def test_a_pause_between_two_tries_ends_at_once_when_the_operator_says_resume() -> None:
    house = House([GONE, LOADED], jitter=lambda: 1e6)
    loading = asyncio.create_task(house.ready())
    await house.told.wait()
    await asyncio.sleep(0.05)
    assert not loading.done()
    house.setup.wished(rests=False)
    assert (await loading).loaded == LOADED


async def test_nothing_is_loaded_during_the_operators_pause() -> None:
    house = House([LOADED])
    house.setup.wished(rests=True)
    loading = asyncio.create_task(house.ready())
    await asyncio.sleep(0.05)
    assert not house.asked
    house.setup.wished(rests=False)
    assert (await loading).loaded == LOADED


MISTAKES: list[tuple[dict[str, Any], list[Exception | Loaded], str]] = [
    ({"options": {"depth": "9"}}, [LOADED], "options depth stand in the plan"),
    ({"outbox_bytes": 40}, [LOADED], "outbox_bytes_max is 40"),
    ({}, [LoadError("no package studie for task studie.lung:task", hint="name it")], "no package studie"),
    ({}, [Loaded(99, "accuracy", True, 12, 96)], "the task has 99 parameters"),
]


@pytest.mark.parametrize(("settings", "answers", "said"), MISTAKES)
async def test_a_mistake_in_the_settings_of_the_only_study_ends_the_service_with_it(
    settings: dict[str, Any], answers: list[Exception | Loaded], said: str
) -> None:
    with pytest.raises(LoadError, match=said) as mistake:
        await House(answers, **settings).ready()
    assert mistake.value.hint


@pytest.mark.parametrize(("settings", "answers", "said"), MISTAKES)
@pytest.mark.parametrize("why", [{"undecided": 1}, {"only": False}])
async def test_a_mistake_holds_the_study_where_work_or_other_studies_would_be_left_behind(
    settings: dict[str, Any], answers: list[Exception | Loaded], said: str, why: dict[str, Any]
) -> None:
    house = House(answers, **settings, **why)
    loading = asyncio.create_task(house.ready())
    async with asyncio.timeout(5):
        await house.told.wait()
    assert not loading.done()
    loading.cancel()
    assert said in house.held[0]


async def test_what_goes_missing_after_it_was_loaded_never_ends_the_service() -> None:
    house = House([LOADED])
    await house.ready()
    house.setup.failed(LoadError("the task folder has another digest"))
    await house.ready()
