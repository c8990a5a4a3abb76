"""Whether a transaction happened, by what lies on its topics."""

from collections.abc import Iterable

from transport.errors import CommitUnknown, Fenced
from transport.reading.log import Entry
from transport.writing.labels import ours

Records = dict[str, list[tuple[int, bytes | None]]]  # topic -> (offset, value)


def outcome(expected: Records, entries: Iterable[Entry], transactional_id: str) -> bool:
    """Whether `expected` (per topic: offsets and values) is what now lies on the topics, all of it or nothing.

    What carries no label was written in no transaction of ours, by whoever may write there: it says nothing.
    Raises Fenced when somebody else has written there, CommitUnknown when only a part is found.
    """
    found: Records = {}
    for entry in ours(entries):
        found.setdefault(entry.topic, []).append((entry.offset, entry.value))
    if not found:
        return False
    if found == expected:
        return True
    known = {record for sent in expected.values() for record in sent}
    if any(record not in known for records in found.values() for record in records):
        raise Fenced(f"another process has written under {transactional_id}")
    raise CommitUnknown(f"a part of a transaction of {transactional_id} is missing on its topics")
