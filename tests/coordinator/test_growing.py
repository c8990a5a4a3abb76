"""A file that is sent while it is written: no chunk leaves before all of it is there."""

import asyncio
from pathlib import Path

from coordinator.shell.growing import Growing
from schemas.records import CHUNK_BYTES


async def test_a_chunk_is_ready_when_all_its_bytes_are_written(tmp_path: Path) -> None:
    size = CHUNK_BYTES + 5
    growing = Growing(tmp_path / "model", size)
    first, last = (asyncio.create_task(growing.ready(index)) for index in range(growing.count))
    growing.grown(CHUNK_BYTES - 1)
    await asyncio.sleep(0.01)
    assert not first.done()
    growing.grown(CHUNK_BYTES)
    await first
    assert not last.done()
    growing.grown(size)
    await last


async def test_what_a_thread_has_written_is_read_back_in_chunks(tmp_path: Path) -> None:
    path = tmp_path / "model"
    data = bytes(range(256)) * (CHUNK_BYTES // 128)
    growing = Growing(path, len(data))

    def write() -> None:
        with path.open("wb", buffering=0) as file:
            for start in range(0, len(data), 4096):
                file.write(data[start : start + 4096])
                growing.grown(file.tell())

    async def read() -> bytes:
        found = b""
        for index in range(growing.count):
            await growing.ready(index)
            found += growing.chunk(index)
        return found

    assert (await asyncio.gather(asyncio.to_thread(write), read()))[1] == data
    growing.close()


async def test_a_whole_file_is_ready_at_once(tmp_path: Path) -> None:
    growing = Growing.whole(tmp_path / "model", 3 * CHUNK_BYTES)
    for index in range(growing.count):
        await growing.ready(index)
