"""One record of a topic as readers hand it out; so is a batch that nobody may open, for its reader to refuse."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from aiokafka import ConsumerRecord

from transport.reading.batches import why_refused

_log = structlog.get_logger("transport")
SAY_S = 30.0


class Said:
    """One line a topic in `SAY_S`, however many batches are refused there; the next says how many were left unsaid."""

    def __init__(self) -> None:
        self._topics: dict[str, tuple[float, int]] = {}

    def ask(self, topic: str, now_s: float) -> int | None:
        """How many were left unsaid before this one; None where this one is left unsaid as well."""
        said_s, unsaid = self._topics.get(topic, (now_s - SAY_S, 0))
        if now_s - said_s < SAY_S:
            self._topics[topic] = said_s, unsaid + 1
            return None
        self._topics[topic] = now_s, 0
        return unsaid


_said = Said()


@dataclass(frozen=True, slots=True)
class Entry:
    """One record as it lies on a topic; `timestamp_ms` is for display alone, `headers` for transport.

    refused   why transport did not open a batch, "compressed" or "malformed", to be counted as such; empty otherwise.
              Such an entry stands for the whole batch, at its last offset, and `value` is b"": nobody can believe it
    since_ms  for a reader that thins: the same was said since then without a gap, in records that are not delivered
    """

    topic: str
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    refused: str = ""
    since_ms: int | None = None


def entry_of(record: ConsumerRecord, since_ms: int | None = None) -> Entry:
    """What a consumer fetched; says it when that stands for a batch which was refused."""
    refused = why_refused(record.headers)
    unsaid = _said.ask(record.topic, time.monotonic()) if refused else None
    if unsaid is not None:
        _log.warning(
            "batch refused, nothing of it is read",
            topic=record.topic,
            offset=record.offset,
            reason=refused,
            unsaid=unsaid,
            hint=f"no software of ours writes it; compression.type of {record.topic} has to be producer",
        )
    headers = () if refused else record.headers
    return Entry(record.topic, record.offset, record.timestamp, record.key, record.value, headers, refused, since_ms)
