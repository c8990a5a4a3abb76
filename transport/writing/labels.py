"""What every record of a transaction says of it: its number and how many records it has, in a header of Kafka's.

Knows:    all records are stored before a commit is asked for, so one with a record missing was never committed by us.
"""

import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from transport.errors import LogUndecided
from transport.reading.log import Entry

HEADER = "tx"
_NUMBER_BYTES, _COUNT_BYTES = 8, 4


@dataclass(frozen=True, slots=True)
class Label:
    """One transaction: a random number and the count of its records, on whatever topics."""

    number: bytes
    count: int

    @classmethod
    def fresh(cls, count: int) -> Self:
        return cls(secrets.token_bytes(_NUMBER_BYTES), count)

    def to_bytes(self) -> bytes:
        return self.number + self.count.to_bytes(_COUNT_BYTES, "big")


def label_of(entry: Entry) -> Label | None:
    """The label of a record; None where it carries none."""
    value = dict(entry.headers).get(HEADER)
    if value is None or len(value) != _NUMBER_BYTES + _COUNT_BYTES:
        return None
    return Label(value[:_NUMBER_BYTES], int.from_bytes(value[_NUMBER_BYTES:], "big"))


def ours(entries: Iterable[Entry]) -> list[Entry]:
    """Those that were written in a transaction of this software."""
    return [entry for entry in entries if label_of(entry) is not None]


def all_there(hidden: Iterable[Entry], visible: Iterable[Entry]) -> bool:
    """Whether the transactions that hidden records belong to are complete, and so to be committed; or not, any of them.

    visible   the newest records that committed readers get: some of a transaction's markers may have been written
    A hidden record without a label is not ours: it lies behind one that is, and says nothing of how that ends.
    Raises LogUndecided when no hidden record has a label, or some are complete and others are not.
    """
    hidden = list(hidden)
    ended = {label for entry in hidden if (label := label_of(entry)) is not None}
    found = Counter(label_of(entry) for entry in (*hidden, *visible))
    complete = {label for label in ended if found[label] == label.count}
    if (hidden and not ended) or (complete and complete != ended):
        raise LogUndecided(sorted({entry.topic for entry in hidden}))
    return bool(complete)
