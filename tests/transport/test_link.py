"""The link: what an operator reads while the broker is away, and how fast a process comes back."""

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from transport.settings import KafkaSettings
from transport.staying.link import Link

SETTINGS = KafkaSettings("127.0.0.1:9092", "tests")


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def _link(clock: Clock, unit: float = 1.0) -> Link:
    return Link(SETTINGS, clock=clock, random_unit=lambda: unit)


def test_a_callback_hears_the_state_at_once_and_then_each_change() -> None:
    link = _link(Clock())
    heard: list[bool] = []
    link.on_change(heard.append)
    for change in (link.up, link.up, lambda: link.down("cut"), lambda: link.down("cut"), link.up):
        change()
    assert heard == [False, True, False, True]


def test_an_absent_broker_is_logged_once_in_thirty_seconds() -> None:
    clock = Clock()
    link = _link(clock)
    with capture_logs() as lines:
        for _ in range(90):
            link.down(ConnectionRefusedError("refused"))
            clock.now_s += 1
        link.up()
    assert [line["log_level"] for line in lines] == ["warning", "warning", "warning", "info"]
    assert lines[0]["reason"] == "ConnectionRefusedError: refused"
    assert lines[0]["broker"] == SETTINGS.bootstrap
    assert lines[-1]["away_s"] == 90.0


def test_a_flapping_link_does_not_fill_the_log() -> None:
    clock = Clock()
    link = _link(clock)
    with capture_logs() as lines:
        for _ in range(60):
            link.down("flap")
            clock.now_s += 0.5
            link.up()
            clock.now_s += 0.5
    assert len(lines) <= 6


def test_the_wait_doubles_to_its_limit_and_begins_anew_after_an_answer() -> None:
    link = _link(Clock())
    waits = [link.next_backoff_s() for _ in range(8)]
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    link.up()
    assert link.next_backoff_s() == 0.2


@given(unit=st.floats(0, 1), tries=st.integers(1, 2000))
def test_no_wait_is_ever_longer_than_the_limit(unit: float, tries: int) -> None:
    link = _link(Clock(), unit)
    assert all(0 <= link.next_backoff_s() <= SETTINGS.backoff_max_s for _ in range(tries))


@pytest.mark.parametrize("reason", ["cut", TimeoutError(), OSError("no route")])
def test_any_reason_can_be_told(reason: BaseException | str) -> None:
    with capture_logs() as lines:
        _link(Clock()).down(reason)
    assert lines[0]["reason"]


async def test_who_retries_for_ever_ends_when_told_to_although_an_error_hid_it() -> None:
    link = Link(SETTINGS, random_unit=lambda: 0.0)
    waiting = asyncio.Event()

    async def for_ever() -> None:
        while True:
            waiting.set()
            with contextlib.suppress(asyncio.CancelledError):  # as an error does that comes at the same moment
                await asyncio.sleep(60)
            await link.backoff()

    task = asyncio.create_task(for_ever())
    await waiting.wait()
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()
