"""Leaves out signs of life between others that say the same, before anything is unpacked: a month of a hundred sites
is a million of them.

Knows:    a Presence in a batch of its own, as participants write it, told by its first bytes. The same states under the
          same key are the same bytes, so what is left out between two of them says nothing else.
Never:    leaves out another record, the newest Presence of an answer, or a batch that was changed on its way.
"""

import struct
from collections.abc import Callable

from aiokafka.record.util import calc_crc32c

from schemas.records import Presence, kind_within
from transport.reading.batches import spans

GAP_MS = 600_000  # two periods: who says nothing for longer was away
Tell = Callable[[int, int], None]
_PLAIN, _ONE, _KEYLESS = 2, b"\x00\x00\x00\x01", b"\x00\x00\x00\x01"  # magic; one record; at offset and time 0, no key
_MAGIC_AT, _CRC_AT, _CHECKED_AT, _TIME_AT, _COUNT_AT, _RECORD_AT, _VALUE_AT = 16, 17, 21, 35, 57, 63, 69
_STAMPED = (b"\x00\x00", b"\x00\x08")  # attributes: neither packed nor in a transaction; the time is anybody's
_CRC, _TIME = struct.Struct(">I"), struct.Struct(">q")


def thinned(records: bytes, tell: Tell) -> bytes:
    """The batches; of signs of life that say the same one after another, without a gap, the first and the last alone.

    tell   called for each last one that stays with its offset, and the append time of the first, unix ms
    Cost: a few microseconds a batch (`python -m bench.status`), where unpacking and verifying takes a hundred.
    """
    left_out: list[tuple[int, int]] = []
    last: tuple[int, int] | None = None
    said, first_ms, last_ms = b"", 0, 0
    for start, end, _ in spans(records):
        value = _presence(records, start, end)
        if value is None:
            continue
        at_ms = _TIME.unpack_from(records, start + _TIME_AT)[0]
        if value == said and 0 <= at_ms - last_ms <= GAP_MS:
            left_out += [last] if last is not None else []
            last = (start, end)
        else:
            _tell(records, last, first_ms, tell)
            said, first_ms, last = value, at_ms, None
        last_ms = at_ms
    _tell(records, last, first_ms, tell)
    return _without(records, left_out) if left_out else records


def _tell(records: bytes, last: tuple[int, int] | None, first_ms: int, tell: Tell) -> None:
    if last is not None:
        tell(_TIME.unpack_from(records, last[0])[0], first_ms)


def _presence(records: bytes, start: int, end: int) -> bytes | None:
    """The value of a batch that holds one Presence and nothing else, as it was written; None for any other."""
    first = start + _VALUE_AT
    value = records[first : end - 1]
    if (
        kind_within(value) != Presence.KIND
        or records[start + _MAGIC_AT] != _PLAIN
        or records[start + _CHECKED_AT : start + _CHECKED_AT + 2] not in _STAMPED
        or records[start + _COUNT_AT : start + _COUNT_AT + 4] != _ONE
        or records[start + _RECORD_AT : start + _RECORD_AT + 4] != _KEYLESS
        or (records[first - 2] & 0x7F) + (records[first - 1] << 7) != 2 * len(value)
        or calc_crc32c(records[start + _CHECKED_AT : end]) != _CRC.unpack_from(records, start + _CRC_AT)[0]
    ):
        return None
    return value


def _without(records: bytes, left_out: list[tuple[int, int]]) -> bytes:
    kept, copied, whole = [], 0, memoryview(records)
    for start, end in left_out:
        kept.append(whole[copied:start])
        copied = end
    return b"".join([*kept, whole[copied:]])
