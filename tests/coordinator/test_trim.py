"""Old versions leave the log, and a broker that will not have it stops nobody from learning."""

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any, cast

import pytest

from coordinator.core.replay import first_offset
from coordinator.shell import trim
from coordinator.shell.services import Services
from coordinator.shell.trim import Trimmer
from schemas.errors import LocalError
from schemas.records import Announcement, BodyAt, BodyRef, Request
from tests.schemas.plans import changed


class Admin:
    """Refuses so many times, then trims."""

    def __init__(self, refusals: int) -> None:
        self.refusals, self.trimmed, self.done = refusals, list[int](), asyncio.Event()

    async def trim(self, topic: str, before_offset: int) -> None:
        if self.refusals:
            self.refusals -= 1
            raise LocalError(f"{topic} cannot be trimmed", hint="grant it")
        self.trimmed.append(before_offset)
        self.done.set()


def body(offset: int) -> BodyAt:
    return BodyAt(bytes(32), BodyRef(0, 10, ((offset, 1),), bytes(32), ()))


def version(offset: int) -> tuple[Announcement, Request]:
    announcement = SimpleNamespace(model=body(offset + 1), state=None)
    return cast(Announcement, announcement), cast(Request, SimpleNamespace(cohort=body(offset)))


@pytest.mark.parametrize("refusals", [0, 2])
async def test_what_lies_before_the_versions_that_are_kept_goes_sooner_or_later(
    refusals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trim, "AGAIN_S", 0.0)
    admin, plan = Admin(refusals), changed(storage={"versions_kept": 3})
    trimmer = Trimmer(cast(Services, cast(Any, SimpleNamespace(admin=admin))), plan)
    running = asyncio.create_task(trimmer.run())
    for number in range(4):
        trimmer.announced(*version(10 * number))
    async with asyncio.timeout(5):
        await admin.done.wait()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert admin.trimmed == [10]


async def test_versions_that_earlier_coordinators_made_leave_the_log_however_short_their_lives_were() -> None:
    admin, plan = Admin(0), changed(storage={"versions_kept": 3})
    services = cast(Services, cast(Any, SimpleNamespace(admin=admin)))
    firsts: list[int] = []
    for life in range(3):
        trimmer = Trimmer(services, plan)
        trimmer.restored(firsts)
        admin.done.clear()
        for number in (2 * life, 2 * life + 1):
            trimmer.announced(*version(10 * number))
            firsts.append(first_offset(*version(10 * number)))
        running = asyncio.create_task(trimmer.run())
        if life:
            async with asyncio.timeout(5):
                await admin.done.wait()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert admin.trimmed == [10, 30]


async def test_what_a_predecessor_left_to_be_trimmed_goes_before_the_next_version() -> None:
    admin, plan = Admin(0), changed(storage={"versions_kept": 2})
    trimmer = Trimmer(cast(Services, cast(Any, SimpleNamespace(admin=admin))), plan)
    trimmer.restored([5, 10, 20])
    running = asyncio.create_task(trimmer.run())
    async with asyncio.timeout(5):
        await admin.done.wait()
    running.cancel()
    assert admin.trimmed == [10]
