"""What a reader has fetched and not delivered yet, and from where each topic is read on.

Never:    skips or repeats a record: the next offset follows what was delivered, or fetched, last.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from aiokafka import ConsumerRecord

from transport.reading.entry import Entry, entry_of

HELD_MAX = 16  # entries of a paused topic kept here, so that resuming it costs no round trip


class Held:
    """Of one reader, topic by topic."""

    def __init__(self) -> None:
        self.positions: dict[str, int] = {}  # next to be delivered
        self.paused: set[str] = set()
        self._fetched: dict[str, deque[Entry]] = {}
        self._since_ms: dict[tuple[str, int], int] = {}  # of the last of a run: when its first one came

    def begin(self, positions: Mapping[str, int]) -> None:
        """Exactly these topics, each from its offset; nothing of them is held."""
        self.positions = dict(positions)
        self._fetched = {topic: deque() for topic in positions}
        self.paused.intersection_update(positions)

    @property
    def is_empty(self) -> bool:
        return not any(self._fetched.values())

    def next(self, topic: str) -> int:
        """From where the topic is fetched on."""
        entries = self._fetched[topic]
        return entries[-1].offset + 1 if entries else self.positions[topic]

    def note_run(self, topic: str, offset: int, since_ms: int) -> None:
        """The record at `offset` is the last of a run of like ones, of which the others are left out."""
        self._since_ms[topic, offset] = since_ms

    def keep(self, topic: str, records: Sequence[ConsumerRecord]) -> bool:
        """Keep what was fetched; whether that is enough of a topic that is paused."""
        entries, first = self._fetched[topic], self.next(topic)
        wanted: Iterable[ConsumerRecord] = (record for record in records if record.offset >= first)
        entries.extend(entry_of(record, self._since_ms.pop((topic, record.offset), None)) for record in wanted)
        return topic in self.paused and len(entries) >= HELD_MAX

    def take(self, records_max: int) -> list[Entry]:
        """What is delivered next, in order within each topic; the topic named first goes first."""
        taken: list[Entry] = []
        for topic, entries in self._fetched.items():
            while entries and topic not in self.paused and len(taken) < records_max:
                taken.append(entries.popleft())
                self.positions[topic] = taken[-1].offset + 1
        return taken
