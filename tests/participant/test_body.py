"""A finished update in the outbox, sealed; and a model that comes down, opened."""

import asyncio
import os
import stat
import threading
import tracemalloc
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from participant.shell.body import SealedChunks, SealingStopped, write_body
from participant.shell.fetch import _open, _take, _without, fetch_model, partial
from protocol.digests import BodyHasher, body_digest, model_subject, update_subject
from protocol.fixed_point import Encoding, EncodingError, encode
from protocol.sealing import ChunkOpener, ChunkSealer
from schemas.errors import PeerError
from schemas.records import CHUNK_BYTES, BodyAt, BodyRef

KEY, HEADER = b"k" * 32, b"a header"


def update(path: Path, parameters: int) -> Path:
    (np.random.default_rng(0).standard_normal(parameters, np.float32) / parameters).tofile(path)
    return path


def encoding(parameters: int) -> Encoding:
    return Encoding(parameters, 20, 1.0, 1.0, auxiliary=(("examples", 1.0, 20),), examples="examples")


def test_a_sealed_body_opens_to_the_encoded_update(tmp_path: Path) -> None:
    parameters = CHUNK_BYTES // 4 + 10  # two chunks
    path, target = update(tmp_path / "update", parameters), tmp_path / "body"
    body = write_body(path.open("rb"), target, encoding(parameters), {"examples": 0.5})
    assert (body.size_bytes, len(body.chunk_digests)) == (4 * (parameters + 1), 64)
    assert body.digest == body_digest(body.chunk_digests)
    sealed = SealedChunks(target, KEY, HEADER, 2)
    opener = ChunkOpener(KEY, update_subject(HEADER), 2)
    plain = opener.open(0, sealed.chunk(0)) + opener.open(1, sealed.chunk(1))
    expected = encode(np.fromfile(path, "<f4"), encoding(parameters), {"examples": 0.5})
    assert plain == b"".join(block.tobytes() for block in expected.blocks())
    assert sealed.chunk(1) == sealed.chunk(1)  # what is sent again is the same bytes
    sealed.close()


def test_an_update_that_cannot_be_encoded_leaves_no_file(tmp_path: Path) -> None:
    np.array([1.0, np.nan], "<f4").tofile(tmp_path / "update")
    with pytest.raises(EncodingError, match="NaN"):
        write_body((tmp_path / "update").open("rb"), tmp_path / "body", Encoding(2, 20, 1.0, 1.0), {})
    assert [path.name for path in tmp_path.iterdir()] == ["update"]


def test_sealing_that_is_told_to_stop_leaves_no_file(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    path = update(tmp_path / "update", 5)
    with pytest.raises(SealingStopped):
        write_body(path.open("rb"), tmp_path / "body", encoding(5), {"examples": 1.0}, stop)
    assert [path.name for path in tmp_path.iterdir()] == ["update"]


def test_a_body_is_on_disk_before_it_has_its_name_and_its_name_before_anything_is_said_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened, fsync, rename = [], os.fsync, Path.rename

    def noted_fsync(handle: int) -> None:
        happened.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def noted_rename(path: Path, target: Path) -> Path:
        happened.append("name")
        return rename(path, target)

    monkeypatch.setattr("os.fsync", noted_fsync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    write_body(update(tmp_path / "update", 5).open("rb"), tmp_path / "body", encoding(5), {"examples": 1.0})
    assert happened == ["file", "name", "folder"]


def test_a_full_disk_leaves_no_half_body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_body(update(tmp_path / "update", 5).open("rb"), tmp_path / "body", encoding(5), {"examples": 1.0})
    assert [path.name for path in tmp_path.iterdir()] == ["update"]


def test_a_large_update_is_encoded_in_a_few_blocks_of_memory(tmp_path: Path) -> None:
    parameters = 4_000_000
    path = update(tmp_path / "update", parameters)
    tracemalloc.start()
    write_body(path.open("rb"), tmp_path / "body", encoding(parameters), {"examples": 1.0})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * CHUNK_BYTES + 1_000_000


class Log:
    """A body topic in memory: what `BodyReader.batches` would bring; `read` are the offsets it was asked for."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks, self.reads = chunks, 0
        self.read: list[int] = []
        self.breaks_after = len(chunks)
        self.third = asyncio.Event()

    async def batches(self, topic: str, runs: Sequence[tuple[int, int]]) -> AsyncGenerator[list[bytes], None]:
        self.reads += 1
        for first, count in runs:
            for offset in range(first, min(first + count, len(self._chunks))):
                if len(self.read) == self.breaks_after:
                    raise ConnectionAbortedError
                self.read.append(offset)
                if len(self.read) == 3:
                    self.third.set()
                yield [self._chunks[offset]]


SUBJECT = model_subject("demo", 3)


def announced(plain: bytes) -> tuple[BodyAt, list[bytes]]:
    hasher = BodyHasher()
    hasher.update(plain)
    digest, digests = hasher.finish()
    pieces = [plain[start : start + CHUNK_BYTES] for start in range(0, len(plain), CHUNK_BYTES)]
    sealer = ChunkSealer(KEY, SUBJECT, len(pieces))
    sealed = [sealer.seal(index, piece) for index, piece in enumerate(pieces)]
    return BodyAt(digest, BodyRef(0, len(plain), ((0, len(pieces)),), digests, ())), sealed


async def fetch(log: Log, model: BodyAt, target: Path, size_bytes: int) -> None:
    await fetch_model(
        log,  # type: ignore[arg-type]  # a log in memory
        "models",
        model,
        body_key=KEY,
        subject=SUBJECT,
        size_bytes=size_bytes,
        target=target,
        on_bytes=lambda size: None,
    )


@pytest.mark.parametrize("size_bytes", [40, CHUNK_BYTES + 8])
async def test_a_model_is_opened_into_its_file_and_not_fetched_twice(tmp_path: Path, size_bytes: int) -> None:
    plain = np.random.default_rng(1).bytes(size_bytes)
    model, sealed = announced(plain)
    log, target = Log(sealed), tmp_path / "model.f32"
    await fetch(log, model, target, size_bytes)
    assert target.read_bytes() == plain
    await fetch(log, model, target, size_bytes)
    assert log.reads == 1


async def test_a_file_that_is_not_the_announced_model_is_fetched_anew(tmp_path: Path) -> None:
    model, sealed = announced(bytes(40))
    log, target = Log(sealed), tmp_path / "model.f32"
    target.write_bytes(b"x" * 40)
    await fetch(log, model, target, 40)
    assert target.read_bytes() == bytes(40)


async def test_a_flipped_byte_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    model, sealed = announced(bytes(40))
    flipped = bytes([sealed[0][0] ^ 1]) + sealed[0][1:]
    with pytest.raises(PeerError, match="does not open"):
        await fetch(Log([flipped]), model, tmp_path / "model.f32", 40)
    assert not (tmp_path / "model.f32").exists()


async def test_chunks_of_another_model_under_the_same_key_are_refused(tmp_path: Path) -> None:
    model, _ = announced(bytes(40))
    _, other = announced(b"x" * 40)
    with pytest.raises(PeerError, match="another digest"):
        await fetch(Log(other), model, tmp_path / "model.f32", 40)
    assert not (tmp_path / "model.f32").exists()


async def test_a_model_of_another_size_is_refused_before_it_is_fetched(tmp_path: Path) -> None:
    model, sealed = announced(bytes(40))
    log = Log(sealed)
    with pytest.raises(PeerError, match="no model of this plan"):
        await fetch(log, model, tmp_path / "model.f32", 44)
    assert log.reads == 0


async def test_a_fetch_that_was_given_up_and_writes_its_chunk_late_spoils_no_model(tmp_path: Path) -> None:
    plain = np.random.default_rng(3).bytes(2 * CHUNK_BYTES + 8)
    model, sealed = announced(plain)
    target = tmp_path / "model.f32"

    class Late(Log):
        async def batches(self, topic: str, runs: Sequence[tuple[int, int]]) -> AsyncGenerator[list[bytes], None]:
            with _open(partial(target)) as file:
                _take(ChunkOpener(KEY, SUBJECT, 3), 0, [sealed[0]], model.body.chunk_digests, file)
            async for values in super().batches(topic, runs):
                yield values

    await fetch(Late(sealed), model, target, len(plain))
    assert target.read_bytes() == plain


async def test_a_body_that_ends_early_is_no_model(tmp_path: Path) -> None:
    model, sealed = announced(bytes(CHUNK_BYTES + 8))
    with pytest.raises(PeerError, match="ended after 1 of 2 chunks"):
        await fetch(Log(sealed[:1]), model, tmp_path / "model.f32", CHUNK_BYTES + 8)
    assert not (tmp_path / "model.f32").exists()


CHUNKS = 5
SIZE = (CHUNKS - 1) * CHUNK_BYTES + 8


async def interrupted(tmp_path: Path, after: int) -> tuple[Log, BodyAt, bytes]:
    """A fetch that ended after some chunks; a log that works again."""
    plain = np.random.default_rng(2).bytes(SIZE)
    model, sealed = announced(plain)
    log = Log(sealed)
    log.breaks_after = after
    with pytest.raises(ConnectionAbortedError):
        await fetch(log, model, tmp_path / "model.f32", SIZE)
    assert not (tmp_path / "model.f32").exists()
    return Log(sealed), model, plain


@pytest.mark.parametrize("after", [0, 1, 4])
async def test_an_interrupted_download_goes_on_at_the_chunk_where_it_stopped(tmp_path: Path, after: int) -> None:
    log, model, plain = await interrupted(tmp_path, after)
    await fetch(log, model, tmp_path / "model.f32", SIZE)
    assert log.read == list(range(after, CHUNKS))
    assert (tmp_path / "model.f32").read_bytes() == plain
    assert not partial(tmp_path / "model.f32").exists()


async def test_what_a_power_cut_left_of_a_download_is_used_as_far_as_it_is_right(tmp_path: Path) -> None:
    log, model, plain = await interrupted(tmp_path, 4)
    half = partial(tmp_path / "model.f32")
    content = bytearray(half.read_bytes())
    content[2 * CHUNK_BYTES + 5] ^= 1  # a block that never reached the disk
    half.write_bytes(content[: 3 * CHUNK_BYTES + 100])
    await fetch(log, model, tmp_path / "model.f32", SIZE)
    assert log.read == [2, 3, 4]
    assert (tmp_path / "model.f32").read_bytes() == plain


async def test_what_is_left_of_another_model_is_no_beginning_of_this_one(tmp_path: Path) -> None:
    await interrupted(tmp_path, 3)
    plain = np.random.default_rng(3).bytes(SIZE)
    model, sealed = announced(plain)
    log = Log(sealed)
    await fetch(log, model, tmp_path / "model.f32", SIZE)
    assert log.read == list(range(CHUNKS))
    assert (tmp_path / "model.f32").read_bytes() == plain


async def test_a_download_that_is_cancelled_keeps_whole_chunks_alone(tmp_path: Path) -> None:
    plain = np.random.default_rng(4).bytes(SIZE)
    model, sealed = announced(plain)
    log = Log(sealed)
    fetching = asyncio.create_task(fetch(log, model, tmp_path / "model.f32", SIZE))
    await log.third.wait()
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    half = partial(tmp_path / "model.f32").read_bytes()
    assert len(half) % CHUNK_BYTES == 0
    assert plain.startswith(half)


@settings(deadline=None)
@given(runs=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 5)), max_size=6), done=st.integers(0, 40))
def test_the_chunks_left_are_those_after_the_ones_that_are_there(runs: list[tuple[int, int]], done: int) -> None:
    offsets = [first + number for first, count in runs for number in range(count)]
    left = [first + number for first, count in _without(runs, done) for number in range(count)]
    assert left == offsets[done:]
