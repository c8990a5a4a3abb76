"""A TCP proxy on the loopback that breaks as links do: the hospital's link for demo, bench and fault tests.

Knows:    who is connected through it; whether it is cut, forgets what it is given, or is merely slow or unfaithful.
Never:    understands what it forwards, or listens anywhere but on the loopback.
"""

import asyncio
import random
import socket
import struct
import time
from contextlib import suppress

from ops.kafka.ports import HOST, free_ports
from ops.link_quality import BLOCK_BYTES, PERFECT, Capacity, Quality, flipped
from schemas.errors import LocalError

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of no time at all


class LinkProxy:
    """Forwards from `port` to a loopback port. Cut it, and connections break; restore it, and new ones come through.

    `quality` may be set at any moment and holds for the next block of every connection.
    """

    def __init__(self, target_port: int, *, port: int = 0, seed: int = 0) -> None:
        """`port` 0 chooses a free one; it stays the same over cuts. `seed` draws what an unfaithful link changes."""
        self.port = port or free_ports(1)[0]
        self.is_cut = False
        self.quality: Quality = PERFECT
        self.bytes_up = 0  # towards the target
        self.bytes_down = 0
        self.flips = 0  # bits changed so far
        self.target_port = target_port
        self._rng = random.Random(seed)
        self._capacity = {True: Capacity(), False: Capacity()}
        self._server: asyncio.Server | None = None
        self._swallowing = False
        self._open = asyncio.Event()
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._incomplete: set[asyncio.Task[None]] = set()  # connections of which something was swallowed

    async def start(self) -> None:
        """Listen. Raises LocalError when the port is in use."""
        self._open.set()
        await self._listen()

    async def cut(self, *, silent: bool = False) -> None:
        """Break the link: connections end, new ones are refused; `silent`: they stay open and nothing comes through."""
        self.is_cut = True
        self._open.clear()
        if not silent:
            await self._unlisten()
            await self._drop(set(self._connections))

    def swallow(self) -> None:
        """Become a black hole: connections stay open, new ones are taken, and what they send is gone for good."""
        self.is_cut = self._swallowing = True
        self._open.set()

    async def reset(self) -> None:
        """Reset every connection, as a firewall that has forgotten them; new ones come through at once."""
        for writer in self._connections.values():
            sock = writer.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        await self._drop(set(self._connections))

    async def restore(self) -> None:
        """Let everything through again. What a silent link held back is delivered now, as a real network would.

        Connections of which a black hole has swallowed something end: the rest would make no sense to anybody.
        """
        self.is_cut = self._swallowing = False
        await self._drop(set(self._incomplete))
        self._open.set()
        if self._server is None:
            await self._listen()

    async def close(self) -> None:
        """End all connections and stop listening."""
        await self._unlisten()
        await self._drop(set(self._connections))

    async def _listen(self) -> None:
        try:
            self._server = await asyncio.start_server(self._accept, HOST, self.port, limit=BLOCK_BYTES)
        except OSError as error:
            raise LocalError(f"port {self.port} of a link is in use", hint="end what listens there") from error

    async def _unlisten(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()  # wait_closed() would wait for the connections, which are dropped next

    async def _drop(self, connections: set[asyncio.Task[None]]) -> None:
        for task in connections:
            task.cancel()
        if connections:
            await asyncio.wait(connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # cut or closed; the server must not report it as an error of this handler
        finally:
            del self._connections[task]
            self._incomplete.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self.target_port, limit=BLOCK_BYTES)
        except OSError:
            return  # the target is away: the client sees its connection end
        task = asyncio.current_task()
        assert task is not None
        pumps = [
            asyncio.ensure_future(self._pump(reader, far_writer, task, up=True)),
            asyncio.ensure_future(self._pump(far_reader, writer, task, up=False)),
        ]
        try:
            done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            if all(pump.result() for pump in done):  # one side has said all it had to say; the other may still answer
                await asyncio.wait(pumps)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)
            far_writer.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: asyncio.Task[None], *, up: bool
    ) -> bool:
        """Forward to the end of the stream and return True; False when the connection broke."""
        with suppress(OSError):
            while block := await reader.read(self.quality.piece_bytes(up=up)):
                block = await self._pass(block, up=up)
                if self._swallowing or connection in self._incomplete:
                    self._incomplete.add(connection)
                    continue
                writer.write(block)
                await writer.drain()
                if up:
                    self.bytes_up += len(block)
                else:
                    self.bytes_down += len(block)
            writer.write_eof()
            return True
        return False

    async def _pass(self, block: bytes, *, up: bool) -> bytes:
        """Bring a block over the link: as late, as slowly and as faithfully as the link is now."""
        quality = self.quality
        wait_s = quality.delay_s
        rate = quality.rate(up=up)
        if rate is not None:
            wait_s += self._capacity[up].wait_s(len(block), rate, time.monotonic())
        if wait_s:
            await asyncio.sleep(wait_s)
        if not self._open.is_set():
            await self._open.wait()
        if quality.corrupt_bytes is None:
            return block
        passed = flipped(block, quality.corrupt_bytes, self._rng)
        self.flips += passed is not block
        return passed
