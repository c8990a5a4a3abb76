"""What an operator hears of a study that goes on being held after `participant resume`."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from participant.core.events import Event
from participant.shell.control import Wish
from participant.shell.study import StudyRunner
from tests.schemas.plans import PLAN


class Runner(StudyRunner):
    """A runner whose core is held for one reason, whatever it is told."""

    def __init__(self, held: str, *, loading: bool = False) -> None:
        self._plan = PLAN
        self._core = cast(Any, SimpleNamespace(held=held))
        self._setup = cast(Any, SimpleNamespace(wished=lambda *, rests: None))
        self._loading = cast(Any, asyncio.Future())
        if not loading:
            self._loading.set_result(None)

    def post(self, *events: Event) -> None: ...


async def said(runner: Runner, wish: Wish) -> list[str]:
    with capture_logs() as lines:
        runner.take(wish)
    return [f"{line['event']}: {line['reason']}" for line in lines]


async def test_what_still_holds_a_study_after_resume_is_said_again() -> None:
    assert await said(Runner("the log forked"), Wish(3)) == ["study stays held: the log forked"]


@pytest.mark.parametrize(
    ("runner", "wish"),
    [
        (lambda: Runner(""), Wish(3)),
        (lambda: Runner("paused by the operator"), Wish(3, all=True)),
        (lambda: Runner("leaving"), Wish(3, leaving=True)),
        (lambda: Runner("no task", loading=True), Wish(3)),
        (lambda: Runner("the log forked"), Wish()),
    ],
    ids=["not held", "paused", "leaving", "loaded once more, which says so itself", "nobody ordered anything"],
)
async def test_nothing_is_said_where_nothing_was_resumed_in_vain(runner: Any, wish: Wish) -> None:
    assert await said(runner(), wish) == []
