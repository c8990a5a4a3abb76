"""Batches as brokers store them, made byte by byte: also such as no client of ours would write."""

import gzip
import struct
from collections.abc import Callable

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
_HEAD_BYTES, _FLAGS_AT, _CRC_AT = 61, 21, 17


def batch(
    *values: bytes,
    first: int = 0,
    codec: int = 0,
    pack: Callable[[bytes], bytes] = lambda body: body,
    producer: int = -1,
    headers: list[tuple[str, bytes]] | None = None,
) -> bytes:
    """Values at `first`, `first` + 1, …, their bytes packed by `pack`; in a transaction where it has a `producer`."""
    names = (producer, 0, 0) if producer >= 0 else (-1, -1, -1)
    builder = DefaultRecordBatchBuilder(2, 0, producer >= 0, *names, 1 << 30)
    for offset, value in enumerate(values):
        builder.append(offset, timestamp=1, key=None, value=value, headers=headers or [])
    built = bytes(builder.build())
    made = bytearray(built[:_HEAD_BYTES] + pack(built[_HEAD_BYTES:]))
    made[_FLAGS_AT + 1] |= codec
    struct.pack_into(">qi", made, 0, first, len(made) - 12)
    return sealed(made)


def sealed(made: bytearray) -> bytes:
    """The batch with the checksum of what it holds."""
    struct.pack_into(">I", made, _CRC_AT, calc_crc32c(bytes(made[_FLAGS_AT:])))
    return bytes(made)


def zipped(*values: bytes, first: int = 0, producer: int = -1) -> bytes:
    """A batch as a producer with compression_type="gzip" writes it."""
    return batch(*values, first=first, codec=GZIP, pack=gzip.compress, producer=producer)


def zstd_frame(body: bytes) -> bytes:
    """A frame of zstd (RFC 8878) that holds one block as it is: at most 255 bytes, as its size has one byte here."""
    return struct.pack("<IBB", 0xFD2FB528, 0x20, len(body)) + struct.pack("<I", len(body) << 3 | 1)[:3] + body


def with_unreadable_header(value: bytes, first: int = 0) -> bytes:
    """A batch whose record has a header with a name that is no UTF-8: the broker takes it, aiokafka cannot parse it."""
    made = bytearray(batch(value, first=first, headers=[("name", b"")]))
    at = made.rindex(b"name")
    made[at : at + 4] = b"\xff" * 4
    return sealed(made)


def message_set(value: bytes, *, codec: int = 0, magic: int = 1) -> bytes:
    """A message as Kafka before 0.11 stored it; a compressed one holds others."""
    builder = LegacyRecordBatchBuilder(magic, codec, 1 << 20)
    builder.append(0, timestamp=1, key=None, value=value)
    return bytes(builder.build())
