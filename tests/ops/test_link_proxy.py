"""The proxy that stands for a hospital's link: forwards, breaks, holds back, comes back."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from ops.kafka.ports import HOST
from ops.link_proxy import LinkProxy
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
        await asyncio.wait_for(reader.readexactly(1), 0.1)
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
