"""The proxy that stands for a hospital's link: forwards, breaks, holds back, comes back."""

import asyncio
import os
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from ops.kafka.ports import HOST
from ops.link_proxy import LinkProxy
from ops.link_quality import PERFECT, Quality
from schemas.errors import LocalError


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(65536):
        writer.write(block)
        await writer.drain()
    writer.close()


@pytest_asyncio.fixture
async def proxy() -> AsyncIterator[LinkProxy]:
    server = await asyncio.start_server(_echo, HOST, 0)
    proxy = LinkProxy(server.sockets[0].getsockname()[1])
    await proxy.start()
    yield proxy
    await proxy.close()
    server.close()


async def _ask(proxy: LinkProxy, text: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    writer.write(text)
    writer.write_eof()
    answer = await reader.read(-1)
    writer.close()
    return answer


async def test_what_goes_in_comes_out_and_is_counted(proxy: LinkProxy) -> None:
    assert await _ask(proxy, b"hello") == b"hello"
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    sent = bytes(range(256)) * 8192
    writer.write(sent)
    assert await reader.readexactly(len(sent)) == sent
    writer.close()
    assert proxy.bytes_up == proxy.bytes_down == len(sent) + 5


async def test_a_cut_breaks_connections_refuses_new_ones_and_can_be_mended(proxy: LinkProxy) -> None:
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    await proxy.cut()
    await proxy.cut()
    assert proxy.is_cut
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(HOST, proxy.port)
    writer.close()
    await proxy.restore()
    assert await _ask(proxy, b"again") == b"again"


async def test_a_silent_cut_holds_everything_back_until_it_is_mended(proxy: LinkProxy) -> None:
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    writer.write(b"a")
    assert await reader.readexactly(1) == b"a"
    await proxy.cut(silent=True)
    writer.write(b"b")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await reader.readexactly(1)
    later = asyncio.create_task(_ask(proxy, b"new"))
    await asyncio.sleep(0.05)
    assert not later.done()
    await proxy.restore()
    assert await reader.readexactly(1) == b"b"
    assert await later == b"new"
    writer.close()


async def test_a_target_that_is_away_ends_the_connection(unused_tcp_port: int) -> None:
    proxy = LinkProxy(unused_tcp_port)
    await proxy.start()
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()
    await proxy.close()


async def test_a_port_in_use_is_named(proxy: LinkProxy) -> None:
    with pytest.raises(LocalError, match=str(proxy.port)):
        await LinkProxy(1, port=proxy.port).start()


async def test_closing_leaves_no_task_behind(proxy: LinkProxy) -> None:
    connections = [await asyncio.open_connection(HOST, proxy.port) for _ in range(5)]
    await asyncio.sleep(0.05)
    await proxy.close()
    await asyncio.sleep(0.05)
    mine = [task for task in asyncio.all_tasks() if "LinkProxy" in repr(task)]
    assert mine == []
    for _, writer in connections:
        writer.close()


async def test_a_black_hole_takes_everything_and_gives_nothing_back(proxy: LinkProxy) -> None:
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    writer.write(b"a")
    assert await reader.readexactly(1) == b"a"
    proxy.swallow()
    assert proxy.is_cut
    new_reader, new_writer = await asyncio.open_connection(HOST, proxy.port)
    for one in (writer, new_writer):
        one.write(b"lost" * 100_000)
        await one.drain()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await reader.readexactly(1)
    await proxy.restore()
    for stream in (reader, new_reader):  # half a conversation is worse than none
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await stream.readexactly(1)
    assert await _ask(proxy, b"again") == b"again"
    assert proxy.bytes_up == 6
    writer.close()
    new_writer.close()


async def test_a_connection_that_a_black_hole_did_not_touch_lives_on(proxy: LinkProxy) -> None:
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    writer.write(b"a")
    assert await reader.readexactly(1) == b"a"
    proxy.swallow()
    await proxy.restore()
    writer.write(b"b")
    assert await reader.readexactly(1) == b"b"
    writer.close()


async def test_a_reset_is_felt_at_once_and_over_at_once(proxy: LinkProxy) -> None:
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    writer.write(b"a")
    assert await reader.readexactly(1) == b"a"
    await proxy.reset()
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    assert await _ask(proxy, b"again") == b"again"
    writer.close()


async def test_a_delayed_link_brings_everything_later_and_whole(proxy: LinkProxy) -> None:
    proxy.quality = Quality(delay_s=0.1)
    began_s = time.monotonic()
    assert await _ask(proxy, b"late") == b"late"
    assert time.monotonic() - began_s >= 0.2  # there and back


async def test_a_slow_link_is_slow_one_way_and_shared_by_its_connections(proxy: LinkProxy) -> None:
    proxy.quality = Quality(up_bytes_s=200_000)
    sent = os.urandom(20_000)
    began_s = time.monotonic()
    assert list(await asyncio.gather(_ask(proxy, sent), _ask(proxy, sent))) == [sent, sent]
    assert time.monotonic() - began_s >= 0.2
    proxy.quality = PERFECT
    assert await _ask(proxy, sent) == sent


async def test_an_unfaithful_link_flips_single_bits_of_ciphertext_and_counts_them(proxy: LinkProxy) -> None:
    proxy.quality = Quality(corrupt_bytes=1)
    sent = os.urandom(4_000_000)
    got = await _ask(proxy, sent)
    assert len(got) == len(sent)
    wrong = [index for index, (one, other) in enumerate(zip(sent, got, strict=True)) if one != other]
    assert all((sent[index] ^ got[index]).bit_count() == 1 for index in wrong)
    assert 0 < len(wrong) <= proxy.flips


async def test_an_unfaithful_link_changes_no_host_and_no_port(proxy: LinkProxy) -> None:
    proxy.quality = Quality(corrupt_bytes=1)
    answer = b"\0\0\0\x09127.0.0.1\0\0\x5b\xa0" * 10_000
    assert await _ask(proxy, answer) == answer
    assert proxy.flips == 0


def test_a_link_of_no_speed_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be like this"):
        Quality(up_bytes_s=0)
