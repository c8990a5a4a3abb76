"""How a participant and its trainer talk: messages of msgpack, each after its length, over a unix socket.

Knows:    framing for both sides; a message is a map with a `kind`. Vectors never pass here: they lie in files, which
          the service opens and hands over as descriptors (SCM_RIGHTS), so that no name of a file is ever believed.
Never:    takes anything else for a message: whatever a trainer writes is looked at as if a stranger had written it.
"""

import asyncio
import socket
import struct
from collections.abc import Sequence
from typing import Any, cast

import msgpack

from schemas.errors import FederationError

MESSAGE_MAX = 1024 * 1024
TEXT_MAX = 1000  # characters of an error's words
FILES = "files"  # the descriptors that came with a message, added to it by `receive`
FILES_MAX = 4
_LENGTH = struct.Struct(">I")

Message = dict[str, Any]


class GarbledError(FederationError):
    """The other side wrote what it never writes; nothing that follows can be believed either."""


def pack(message: Message) -> bytes:
    body = cast(bytes, msgpack.packb(message))
    return _LENGTH.pack(len(body)) + body


def send(sock: socket.socket, message: Message, files: Sequence[int]) -> bytes:
    """Write a message with open files beside it, without waiting; returns the end of it that did not fit.

    Raises BlockingIOError when nothing fits, OSError when the other side is gone.
    """
    data = pack(message)
    return data[socket.send_fds(sock, [data], list(files)) :] if files else data[sock.send(data) :]


def receive(sock: socket.socket) -> Message | None:
    """The next message; None when the other side is gone. Files that came with it are descriptors under `files`."""
    files: list[int] = []
    head = _exactly(sock, _LENGTH.size, files)
    if head is None:
        return None
    body = _exactly(sock, _checked(head), files)
    return None if body is None else {**unpack(body), FILES: files}


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
                    return unpack(body)
            try:
                part = await self._reader.read(65536)
            except ConnectionError:
                return None
            if not part:
                return None
            self._buffer += part


def unpack(body: bytes) -> Message:
    """A message from its bytes. Raises GarbledError for anything but a map of names with a `kind`."""
    try:
        message = msgpack.unpackb(body)
    except (ValueError, RecursionError, msgpack.UnpackException) as error:
        raise GarbledError(f"{len(body)} bytes that are no message ({type(error).__name__})") from None
    if not isinstance(message, dict) or not all(isinstance(name, str) for name in message):
        raise GarbledError("a message that is no map of names")
    if not isinstance(message.get("kind"), str):
        raise GarbledError("a message without a kind")
    return message


def _checked(head: bytes | bytearray) -> int:
    length: int = _LENGTH.unpack(head)[0]
    if length > MESSAGE_MAX:
        raise GarbledError(f"a message of {length} bytes")
    return length


def _exactly(sock: socket.socket, size: int, files: list[int]) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        try:
            part, handles, _, _ = socket.recv_fds(sock, size - len(parts), FILES_MAX)
        except ConnectionError:
            return None
        files += handles
        if not part:
            return None
        parts += part
    return bytes(parts)
