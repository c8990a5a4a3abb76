"""Batches as they lie on a topic, told apart by their headers: what nobody may open never reaches aiokafka's parser.

Knows:    our software compresses nothing. What comes compressed can be of any size once unpacked, or of a codec that is
          not installed here; and aiokafka gets past no batch that it cannot parse, nor to any topic behind it.
Never:    unpacks anything; refuses what was changed on its way, which may be right the next time.
Source:   https://kafka.apache.org/documentation/#messageformat, record batches and the message sets before them.
"""

import secrets
import struct
import zlib
from collections.abc import Iterator, Sequence

from aiokafka.errors import CorruptRecordException, KafkaError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

COMPRESSED = "compressed"
MALFORMED = "malformed"

# What aiokafka's parsers raise, beside its own errors, for bytes changed on their way: a fresh client reads on.
DAMAGED = (ValueError, SystemError, EOFError, MemoryError, struct.error, zlib.error)

_MARK = secrets.token_hex(16)  # the Kafka header of a stand-in; who writes records cannot know it
_FRAME = struct.Struct(">qi")  # offset of the first record, and how many bytes follow
_BATCH = struct.Struct(">qiibIhiqqqhii")
_MESSAGE = struct.Struct(">qiIbb")  # before Kafka 0.11
_LENGTH, _LENGTH_AT, _MAGIC_AT = struct.Struct(">i"), 8, 16
_CODEC, _TRANSACTIONAL = 0x07, 0x10


def sieved(records: bytes, *, thorough: bool = False) -> bytes:
    """The same batches, with a stand-in for each that is refused: one empty record, at the last offset of the batch.

    thorough   parse every batch, and refuse also what cannot be parsed although it is as it was written; end before one
               that was changed, so that what lies in front of it is read: the next fetch begins with it
    Raises CorruptRecordException for a compressed batch that was changed on its way. Cost: about a microsecond a batch;
    the very same object comes back where nothing is refused.
    """
    kept: list[bytes | memoryview] = []
    whole, copied = memoryview(records), 0
    for start, end, is_compressed in spans(records):
        if thorough and start and not _is_as_written(whole[start:end]):
            return b"".join([*kept, whole[copied:start]])
        if is_compressed or thorough:
            reason = _why_refused(whole[start:end], is_compressed=is_compressed)
            if reason:
                kept += [whole[copied:start], _stand_in(whole[start:end], reason)]
                copied = end
    return b"".join([*kept, whole[copied:]]) if kept else records


def why_refused(headers: Sequence[tuple[str, bytes | None]]) -> str:
    """COMPRESSED or MALFORMED for the record of a stand-in, told by its headers; empty for every other record."""
    return next(((value or b"").decode() for name, value in headers if name == _MARK), "")


def spans(records: bytes) -> Iterator[tuple[int, int, bool]]:
    """Start and end of every whole batch, and whether it is compressed; a fetch may cut off the last one."""
    start, size = 0, len(records)
    while start + _MESSAGE.size <= size:
        end = start + _FRAME.size + _LENGTH.unpack_from(records, start + _LENGTH_AT)[0]
        least, flags_at = (_BATCH.size, 22) if records[start + _MAGIC_AT] >= 2 else (_MESSAGE.size, 17)
        if not start + least <= end <= size:
            return
        yield start, end, bool(records[start + flags_at] & _CODEC)
        start = end


def _why_refused(batch: memoryview, *, is_compressed: bool) -> str:
    if is_compressed and not _is_as_written(batch):
        raise CorruptRecordException("a batch that seems to be compressed was changed on its way")
    if is_compressed:
        return COMPRESSED
    return MALFORMED if _is_as_written(batch) and not _can_be_parsed(batch) else ""


def _is_as_written(batch: memoryview) -> bool:
    try:
        return bool(MemoryRecords(bytes(batch)).next_batch().validate_crc())
    except (KafkaError, *DAMAGED):
        return False


def _can_be_parsed(batch: memoryview) -> bool:
    try:
        for _ in MemoryRecords(bytes(batch)).next_batch():
            pass
    except MemoryError:  # no fault of the batch
        raise
    except (KafkaError, *DAMAGED):
        return False
    return True


def _stand_in(batch: memoryview, reason: str) -> bytes:
    """It belongs to the same transaction, so that what was taken back does not come to light."""
    first, behind, time_ms, transactional, producer = *_MESSAGE.unpack_from(batch)[:1], 0, 0, False, [-1, -1, -1]
    if batch[_MAGIC_AT] >= 2:
        first, *_, flags, behind, _, time_ms, number, epoch, sequence, _ = _BATCH.unpack_from(batch)
        transactional, producer = bool(flags & _TRANSACTIONAL), [number, epoch, sequence]
    builder = DefaultRecordBatchBuilder(2, 0, transactional, *producer, 1 << 16)
    builder.append(max(behind, 0), timestamp=time_ms, key=None, value=b"", headers=[(_MARK, reason.encode())])
    made = bytearray(builder.build())
    _FRAME.pack_into(made, 0, first, len(made) - _FRAME.size)
    return bytes(made)
