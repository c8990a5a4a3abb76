"""What is left out of a history: signs of life that a newer one makes superfluous, and nothing else, ever."""

import struct

from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.signing import SigningKey
from schemas.records import Presence, Roster
from tests.transport.raw import batch, sealed, with_unreadable_header, zipped
from transport.reading.batches import spans
from transport.reading.thin import thinned

KEY = SigningKey.generate()
SIGNS = [KEY.sign(Presence("north", (("lung", state),), "wardround 0.1.0")).to_bytes() for state in range(1, 4)]
OTHER = KEY.sign(Roster(7, (("north", bytes(32)),))).to_bytes()


def _at(made: bytes, time_ms: int) -> bytes:
    """The batch with an append time, as a broker puts it in."""
    changed = bytearray(made)
    struct.pack_into(">qq", changed, 27, time_ms, time_ms)
    changed[22] |= 8
    return sealed(changed)


def _log(*values: bytes, every_ms: int = 1000) -> bytes:
    return b"".join(_at(batch(value, first=offset), offset * every_ms) for offset, value in enumerate(values))


def _offsets(records: bytes) -> list[int]:
    return [struct.unpack_from(">q", records, start)[0] for start, _, _ in spans(records)]


def _thin(log: bytes) -> tuple[list[int], dict[int, int]]:
    """Offsets of what stays, and since when each last one of a run says what it says."""
    runs: dict[int, int] = {}
    return _offsets(thinned(log, runs.__setitem__)), runs


def test_of_signs_of_life_that_say_the_same_the_first_and_the_last_stay() -> None:
    assert _thin(_log(*[SIGNS[0]] * 8)) == ([0, 7], {7: 0})


def test_every_change_of_state_stays() -> None:
    quiet = [SIGNS[0]] * 5
    assert _thin(_log(*quiet, SIGNS[1], *quiet)) == ([0, 4, 5, 6, 10], {4: 0, 10: 6000})


def test_who_was_away_for_longer_than_two_periods_was_not_there_all_along() -> None:
    log = _log(*[SIGNS[0]] * 4) + b"".join(_at(batch(SIGNS[0], first=at), 604_000 + 1000 * at) for at in range(4, 8))
    assert _thin(log) == ([0, 3, 4, 7], {3: 0, 7: 608_000})
    assert _thin(_log(*[SIGNS[0]] * 9, every_ms=600_000)) == ([0, 8], {8: 0})
    assert _thin(_log(*[SIGNS[0]] * 3, every_ms=600_001)) == ([0, 1, 2], {})


def test_whatever_is_no_sign_of_life_stays_where_it_was() -> None:
    log = _log(SIGNS[0], OTHER, SIGNS[0], b"anything", SIGNS[0], OTHER)
    assert _thin(log) == ([0, 1, 3, 4, 5], {4: 0})


def test_nothing_is_copied_where_nothing_is_left_out() -> None:
    log = _log(SIGNS[0], OTHER, SIGNS[1])
    assert thinned(log, lambda *_: None) is log


def test_what_is_packed_in_a_transaction_or_cannot_be_parsed_is_left_to_others() -> None:
    strange = [
        batch(*SIGNS), zipped(SIGNS[0]), batch(SIGNS[0], producer=7), with_unreadable_header(SIGNS[0]),
        batch(SIGNS[0], headers=[("x", b"y")]),
    ]  # fmt: skip
    for one in strange:
        log = one * 3
        assert thinned(log, lambda *_: None) is log


def test_a_batch_that_a_link_has_changed_is_kept_for_whoever_asks_for_it_again() -> None:
    whole = _log(*[SIGNS[0]] * 4)
    size = len(whole) // 4
    for at in range(size + 16, 2 * size):  # of the second, behind what frames it
        changed = bytearray(whole)
        changed[at] ^= 1
        assert 1 in _thin(bytes(changed))[0]


@settings(deadline=None)
@given(kinds=st.lists(st.sampled_from([*SIGNS, OTHER, b"noise"]), max_size=40), cut=st.integers(0, 200))
def test_the_newest_sign_every_other_record_and_what_was_said_when_are_kept(kinds: list[bytes], cut: int) -> None:
    log = _log(*kinds)
    log = log[: max(0, len(log) - cut)]  # a fetch may end within a batch
    offsets, runs = _thin(log)
    kept, whole = thinned(log, lambda *_: None), {offset: kinds[offset] for offset in _offsets(log)}
    assert offsets == sorted(offsets)
    assert _values(kept) == [whole[offset] for offset in offsets]
    assert {offset for offset, value in whole.items() if value not in SIGNS} <= set(offsets)
    signs = [offset for offset, value in whole.items() if value in SIGNS]
    assert not signs or signs[-1] in offsets
    for offset in set(signs) - set(offsets):  # within a run that says the same
        end = min(last for last in runs if last > offset)
        assert runs[end] < 1000 * offset
        assert whole[end] == whole[offset]


def _values(records: bytes) -> list[bytes]:
    parsed, values = MemoryRecords(records), list[bytes]()
    while parsed.has_next():
        values += [record.value for record in parsed.next_batch()]
    return values
