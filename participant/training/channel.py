"""How a participant and its trainer talk: messages of msgpack, each after its length, over a unix socket.

Knows:    framing for both sides; a message is a map with a `kind`. Vectors never pass here: they lie in files.
Used by:  participant.training.client (asyncio), participant.training.worker (blocking).
"""

import asyncio
import socket
import struct
from typing import Any, cast

import msgpack

MESSAGE_MAX = 1024 * 1024
_LENGTH = struct.Struct(">I")

Message = dict[str, Any]


def pack(message: Message) -> bytes:
    body = cast(bytes, msgpack.packb(message))
    return _LENGTH.pack(len(body)) + body


def receive(sock: socket.socket) -> Message | None:
    """The next message; None when the other side is gone."""
    head = _exactly(sock, _LENGTH.size)
    if head is None:
        return None
    body = _exactly(sock, _checked(head))
    return None if body is None else _unpack(body)


class Inbox:
    """As `receive`, on an asyncio stream; being cancelled in the middle of a message loses nothing."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader, self._buffer = reader, bytearray()

    async def receive(self) -> Message | None:
        while True:
            if len(self._buffer) >= _LENGTH.size:
                end = _LENGTH.size + _checked(self._buffer[: _LENGTH.size])
                if len(self._buffer) >= end:
                    body = bytes(self._buffer[_LENGTH.size : end])
                    del self._buffer[:end]
                    return _unpack(body)
            try:
                part = await self._reader.read(65536)
            except ConnectionError:
                return None
            if not part:
                return None
            self._buffer += part


def _checked(head: bytes | bytearray) -> int:
    length: int = _LENGTH.unpack(head)[0]
    if length > MESSAGE_MAX:
        raise ConnectionError(f"a message of {length} bytes on the trainer's socket")
    return length


def _unpack(body: bytes) -> Message:
    return cast(Message, msgpack.unpackb(body))


def _exactly(sock: socket.socket, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        try:
            part = sock.recv(size - len(parts))
        except ConnectionError:
            return None
        if not part:
            return None
        parts += part
    return bytes(parts)
