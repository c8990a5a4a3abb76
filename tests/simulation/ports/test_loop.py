"""Virtual time: it passes in sleeps alone, threads are done at once, and who waits for nothing is found out."""

import asyncio
import threading

import pytest

from simulation.ports.loop import Hangs, run


def test_a_sleep_of_a_day_takes_no_time_and_a_day_has_passed() -> None:
    async def history() -> float:
        await asyncio.sleep(86_400.0)
        return asyncio.get_running_loop().time()

    assert run(history()) == 86_400.0


def test_timers_fire_in_the_order_of_their_times() -> None:
    async def history() -> list[int]:
        fired: list[int] = []

        async def after(seconds: int) -> None:
            await asyncio.sleep(seconds)
            fired.append(seconds)

        await asyncio.gather(*(after(seconds) for seconds in (3, 1, 2)))
        return fired

    assert run(history()) == [1, 2, 3]


def test_what_is_given_to_a_thread_is_done_in_the_only_one_there_is() -> None:
    async def history() -> int:
        return await asyncio.to_thread(threading.get_ident)

    assert run(history()) == threading.get_ident()


def test_a_history_in_which_nothing_can_happen_any_more_says_so() -> None:
    async def history() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Hangs):
        run(history())
