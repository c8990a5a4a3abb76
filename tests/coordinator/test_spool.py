"""The spool: how much is in memory at once, and that nobody writes into what another one reads."""

import asyncio

import numpy as np

from coordinator.shell.services import INLINE_BYTES_MAX, Spool
from protocol.fixed_point import Encoding
from tests.schemas.plans import changed

LARGE = INLINE_BYTES_MAX  # parameters, four times as many bytes


def encoding(parameters: int) -> Encoding:
    return Encoding.from_plan(changed(parameters=parameters))


async def test_a_body_waits_until_there_is_room_for_it() -> None:
    spool = Spool(encoding(LARGE).body_bytes * 2)
    first, second = [await spool.take(encoding(LARGE)) for _ in range(2)]
    third = asyncio.create_task(spool.take(encoding(LARGE)))
    await asyncio.sleep(0)
    assert not third.done()
    spool.give_back(first, reusable=True)
    assert (await third).nbytes == second.nbytes


async def test_a_body_larger_than_all_the_room_has_the_spool_to_itself() -> None:
    spool = Spool(8)
    large = await spool.take(encoding(LARGE))
    small = asyncio.create_task(spool.take(encoding(1)))
    await asyncio.sleep(0)
    assert not small.done()
    spool.give_back(large, reusable=True)
    assert len(await small) == 1


async def test_memory_is_used_again_only_by_a_body_of_the_same_shape() -> None:
    spool = Spool(1 << 30)
    words = await spool.take(encoding(LARGE))
    spool.give_back(words, reusable=True)
    other = await spool.take(encoding(LARGE + 1))
    assert not np.shares_memory(words, other)
    spool.give_back(other, reusable=True)
    assert (await spool.take(encoding(LARGE + 1))) is other


async def test_memory_that_a_cut_off_fetch_may_still_write_is_never_used_again() -> None:
    spool = Spool(1 << 30)
    words = await spool.take(encoding(LARGE))
    spool.give_back(words, reusable=False)
    assert not np.shares_memory(words, await spool.take(encoding(LARGE)))


async def test_one_body_is_never_handed_out_twice_at_a_time() -> None:
    spool = Spool(1 << 30)
    spool.give_back(await spool.take(encoding(LARGE)), reusable=True)
    first, second = await spool.take(encoding(LARGE)), await spool.take(encoding(LARGE))
    assert not np.shares_memory(first, second)
