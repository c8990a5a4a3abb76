"""A file that a thread writes from front to back while the event loop already sends its beginning."""

import asyncio
import os
from pathlib import Path
from typing import BinaryIO, Self

from schemas.records import CHUNK_BYTES


class Growing:
    """`size_bytes` is what the file will have in the end; `grown` may be called from any thread."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.path, self.size_bytes = path, size_bytes
        self._loop = asyncio.get_running_loop()
        self._there_bytes = 0
        self._more = asyncio.Event()
        self._file: BinaryIO | None = None

    @classmethod
    def whole(cls, path: Path, size_bytes: int) -> Self:
        """A file that is complete already."""
        growing = cls(path, size_bytes)
        growing._there_bytes = size_bytes
        return growing

    @property
    def count(self) -> int:
        """Number of chunks."""
        return -(-self.size_bytes // CHUNK_BYTES)

    def grown(self, there_bytes: int) -> None:
        """Tell that the first `there_bytes` can be read."""
        self._loop.call_soon_threadsafe(self._set, there_bytes)

    async def ready(self, index: int) -> None:
        """Wait until chunk `index` can be read."""
        while self._there_bytes < min((index + 1) * CHUNK_BYTES, self.size_bytes):
            self._more.clear()
            await self._more.wait()

    def chunk(self, index: int) -> bytes:
        """Chunk `index`, which is ready. Raises OSError when the file is gone."""
        if self._file is None:
            self._file = self.path.open("rb", buffering=0)
        return os.pread(self._file.fileno(), CHUNK_BYTES, index * CHUNK_BYTES)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _set(self, there_bytes: int) -> None:
        self._there_bytes = there_bytes
        self._more.set()
