"""Bodies as readers get them: whole, or refused at the first chunk that is not the one listed."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import pytest

from protocol.digests import BodyHasher
from protocol.sealing import ChunkOpener, ChunkSealer
from schemas.errors import PeerError
from schemas.records import CHUNK_BYTES, BodyAt, BodyRef
from transport.bodies import BodyReader
from transport.reading.plain import plain_chunks, whole_body
from transport.settings import KafkaSettings
from transport.staying.link import Link

SETTINGS = KafkaSettings("127.0.0.1:9092", "tests")
KEY, SUBJECT = bytes(range(32)), b"s" * 32
WHOLE = bytes(CHUNK_BYTES) + b"\1" * CHUNK_BYTES + b"the end"
PIECES = [WHOLE[:CHUNK_BYTES], WHOLE[CHUNK_BYTES : 2 * CHUNK_BYTES], WHOLE[2 * CHUNK_BYTES :]]


class Kept(BodyReader):
    """A reader of chunks that are here already."""

    def __init__(self, values: Sequence[bytes]) -> None:
        super().__init__(SETTINGS, Link(SETTINGS))
        self._values = values

    async def chunks(
        self, topic: str, runs: Sequence[tuple[int, int]], *, checked: bool = False
    ) -> AsyncGenerator[bytes, None]:
        assert checked
        for first, count in runs:
            for offset in range(first, first + count):
                yield self._values[offset]


def listed(pieces: Sequence[bytes]) -> BodyAt:
    hasher = BodyHasher()
    for piece in pieces:
        hasher.update(piece)
    digest, chunk_digests = hasher.finish()
    runs = ((0, len(pieces)),) if pieces else ()
    return BodyAt(digest, BodyRef(0, sum(map(len, pieces)), runs, chunk_digests, ()))


AT = listed(PIECES)
SEALER = ChunkSealer(KEY, SUBJECT, 3)
SEALED = [SEALER.seal(index, piece) for index, piece in enumerate(PIECES)]


def opener() -> ChunkOpener:
    return ChunkOpener(KEY, SUBJECT, 3)


async def test_a_body_comes_back_as_it_was_sealed_or_open() -> None:
    assert await whole_body(Kept(SEALED), "t", AT, opener()) == WHOLE
    assert await whole_body(Kept(PIECES), "t", AT, None) == WHOLE
    assert await whole_body(Kept([]), "t", listed([]), None) == b""


@pytest.mark.parametrize("index", range(3))
async def test_a_chunk_that_is_not_the_listed_one_is_named_and_nothing_behind_it_is_handed_on(index: int) -> None:
    other = [*PIECES[:index], PIECES[index][:-1] + b"!", *PIECES[index + 1 :]]
    resealed = [*SEALED[:index], SEALER.seal(index, other[index]), *SEALED[index + 1 :]]
    for values, open_with in ((other, None), (resealed, opener())):
        chunks = plain_chunks(Kept(values), "t", AT.body, open_with)
        assert [await anext(chunks) for _ in range(index)] == list(enumerate(PIECES[:index]))
        with pytest.raises(PeerError, match=f"chunk {index} on t is not the one that is listed"):
            await anext(chunks)


async def test_chunks_in_another_order_do_not_open() -> None:
    with pytest.raises(PeerError, match="chunk 0 of 3 does not open"):
        await whole_body(Kept([SEALED[1], SEALED[0], SEALED[2]]), "t", AT, opener())


async def test_a_body_of_another_size_than_listed_is_refused() -> None:
    longer = replace(AT, body=replace(AT.body, size_bytes=AT.body.size_bytes + 1))
    with pytest.raises(PeerError, match="chunk 2 on t"):
        await whole_body(Kept(SEALED), "t", longer, opener())


async def test_a_list_that_does_not_belong_to_the_digest_is_refused_before_anything_is_read() -> None:
    with pytest.raises(PeerError, match="listed with chunk digests that are not its own"):
        await whole_body(Kept([]), "t", replace(AT, digest=bytes(32)), None)
