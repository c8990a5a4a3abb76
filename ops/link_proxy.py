"""A TCP proxy on the loopback that can be cut: the hospital's link for demo, bench and fault tests.

Knows:    who is connected through it.
Never:    looks into what it forwards, or listens anywhere but on the loopback.
Used by:  wardround.demo, tests.
"""

import asyncio
from contextlib import suppress

from ops.kafka.ports import HOST, free_ports
from schemas.errors import LocalError

_BLOCK_BYTES = 256 * 1024


class LinkProxy:
    """Forwards from `port` to a loopback port. Cut it, and connections break; restore it, and new ones come through."""

    def __init__(self, target_port: int, *, port: int = 0) -> None:
        """`port` 0 chooses a free one; it stays the same over cuts."""
        self.port = port or free_ports(1)[0]
        self.is_cut = False
        self.bytes_up = 0  # towards the target
        self.bytes_down = 0
        self.target_port = target_port
        self._server: asyncio.Server | None = None
        self._silent = False
        self._open = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. Raises LocalError when the port is in use."""
        self._open.set()
        await self._listen()

    async def cut(self, *, silent: bool = False) -> None:
        """Break the link: connections end, new ones are refused; `silent`: they stay open and nothing comes through."""
        self.is_cut, self._silent = True, silent
        self._open.clear()
        if not silent:
            await self._unlisten()
            await self._drop()

    async def restore(self) -> None:
        """Let everything through again. What a silent link held back is delivered now, as a real network would."""
        self.is_cut = False
        self._open.set()
        if self._server is None:
            await self._listen()

    async def close(self) -> None:
        """End all connections and stop listening."""
        await self._unlisten()
        await self._drop()

    async def _listen(self) -> None:
        try:
            self._server = await asyncio.start_server(self._accept, HOST, self.port, limit=_BLOCK_BYTES)
        except OSError as error:
            raise LocalError(f"port {self.port} of a link is in use", hint="end what listens there") from error

    async def _unlisten(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()  # wait_closed() would wait for the connections, which are dropped next

    async def _drop(self) -> None:
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        if connections:
            await asyncio.wait(connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # cut or closed; the server must not report it as an error of this handler
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self.target_port, limit=_BLOCK_BYTES)
        except OSError:
            return  # the target is away: the client sees its connection end
        pumps = [
            asyncio.ensure_future(self._pump(reader, far_writer, up=True)),
            asyncio.ensure_future(self._pump(far_reader, writer, up=False)),
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

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> bool:
        """Forward to the end of the stream and return True; False when the connection broke."""
        with suppress(OSError):
            while block := await reader.read(_BLOCK_BYTES):
                if not self._open.is_set():
                    await self._open.wait()
                writer.write(block)
                await writer.drain()
                if up:
                    self.bytes_up += len(block)
                else:
                    self.bytes_down += len(block)
            writer.write_eof()
            return True
        return False
