"""What readers hand out for a batch that nobody opens."""

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.record.memory_records import MemoryRecords
from structlog.testing import capture_logs

from schemas.errors import PeerError
from schemas.records import Signed
from tests.transport.raw import batch, zipped
from transport.reading.batches import sieved
from transport.reading.entry import SAY_S, Entry, Said, entry_of


def _records(fetched: bytes) -> list[ConsumerRecord]:
    partition = TopicPartition("t", 0)
    return list(PartitionRecords(partition, MemoryRecords(fetched), [], 0, None, None, True, READ_COMMITTED))


def test_a_refused_batch_is_said_once_and_nobody_can_believe_it() -> None:
    with capture_logs() as said:
        [entry] = [entry_of(record) for record in _records(sieved(zipped(b"a", b"b")))]
    assert [(line["topic"], line["offset"], line["reason"]) for line in said] == [("t", 1, "compressed")]
    assert entry == Entry("t", 1, 1, None, b"", refused="compressed")
    with pytest.raises(PeerError):
        Signed.from_bytes(entry.value or b"")


def test_a_flood_of_refused_batches_costs_one_line_in_half_a_minute_a_topic() -> None:
    said = Said()
    assert [said.ask("t", 0.1 * number) for number in range(300)] == [0, *[None] * 299]
    assert said.ask("other", 1.0) == 0
    assert said.ask("t", SAY_S) == 299
    assert said.ask("t", 2 * SAY_S) == 0


def test_no_writer_can_make_a_record_look_refused() -> None:
    with capture_logs() as said:
        [entry] = [entry_of(record) for record in _records(sieved(batch(b"a", headers=[("refused", b"compressed")])))]
    assert (entry.value, entry.refused, said) == (b"a", "", [])
