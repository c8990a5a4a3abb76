"""What a doubtful commit turns out to be, what a refusal means, and what a bounded wait says."""

import asyncio
import logging

import pytest
from aiokafka import errors

from schemas import topics
from schemas.errors import LocalError, TransientError
from transport.admin import within
from transport.clients import refused
from transport.errors import CommitUnknown, Fenced, NotAllowed
from transport.reading.log import Entry
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.staying.quiet import OncePerPeriod
from transport.writing.labels import HEADER, Label
from transport.writing.outcome import Records, outcome

SENT: Records = {"rounds": [(7, b"announcement")], "receipts": [(3, b"a"), (4, b"b")]}


HEADERS = ((HEADER, Label.fresh(3).to_bytes()),)


def _entries(*records: tuple[str, int, bytes]) -> list[Entry]:
    return [Entry(topic, offset, 0, None, value, HEADERS) for topic, offset, value in records]


def test_all_records_found_means_committed_and_none_means_not() -> None:
    found = _entries(("receipts", 3, b"a"), ("rounds", 7, b"announcement"), ("receipts", 4, b"b"))
    assert outcome(SENT, found, "id")
    assert not outcome(SENT, [], "id")


def test_what_a_stranger_wrote_beside_it_says_nothing() -> None:
    stranger = Entry("rounds", 6, 0, None, b"x")
    found = _entries(("receipts", 3, b"a"), ("rounds", 7, b"announcement"), ("receipts", 4, b"b"))
    assert outcome(SENT, [stranger, *found], "id")
    assert not outcome(SENT, [stranger], "id")


@pytest.mark.parametrize(
    "found",
    [
        [("rounds", 8, b"announcement")],
        [("rounds", 7, b"another")],
        [("receipts", 3, b"a"), ("rounds", 7, b"announcement"), ("receipts", 4, b"b"), ("rounds", 9, b"more")],
    ],
)
def test_a_foreign_record_means_that_somebody_has_taken_over(found: list[tuple[str, int, bytes]]) -> None:
    with pytest.raises(Fenced):
        outcome(SENT, _entries(*found), "id")


def test_a_part_of_a_transaction_is_never_taken_for_the_whole() -> None:
    with pytest.raises(CommitUnknown):
        outcome(SENT, _entries(("receipts", 3, b"a")), "id")


def test_only_what_waiting_cannot_mend_is_told_to_the_operator() -> None:
    assert isinstance(refused(errors.TopicAuthorizationFailedError("t")), LocalError)
    assert isinstance(refused(errors.MessageSizeTooLargeError("3 MB")), LocalError)
    for forbidden in (errors.GroupAuthorizationFailedError("lead"), errors.ClusterAuthorizationFailedError()):
        told = refused(forbidden)
        assert isinstance(told, NotAllowed)
        assert "not allowed" in str(told)
        assert "kafka-acls.sh" in told.hint
    other = refused(errors.IncompatibleBrokerVersion("FetchRequest"))
    assert other is not None
    assert "versions of Kafka's protocol" in str(other)
    for passing in (
        errors.KafkaConnectionError("x"),
        errors.NotLeaderForPartitionError(),
        OSError(),
        errors.ProducerFenced(),
    ):
        assert refused(passing) is None


@pytest.mark.parametrize(
    ("topic", "change"),
    [
        (topics.bodies("north"), f"--add-config max.message.bytes={topics.BATCH_BYTES_MAX}"),
        (topics.models("lung"), f"--add-config max.message.bytes={topics.BATCH_BYTES_MAX}"),
        (topics.REGISTRAR_BODIES, f"--add-config max.message.bytes={topics.BATCH_BYTES_MAX}"),
        (topics.rounds("lung"), "--delete-config max.message.bytes"),
        (topics.offers("north"), "--delete-config max.message.bytes"),
    ],
)
def test_a_record_that_is_too_large_is_told_with_its_topic_and_what_that_topic_needs(topic: str, change: str) -> None:
    told = refused(errors.MessageSizeTooLargeError("too large"), topic)
    assert told is not None
    assert topic in str(told)
    assert f"--entity-name {topic} {change}" in told.hint


async def test_a_bounded_wait_says_what_was_not_reached() -> None:
    link = Link(KafkaSettings("127.0.0.1:1", "test"))
    with pytest.raises(TransientError, match=r"broker 127\.0\.0\.1:1 not reached in 0\.01 s"):
        await within(asyncio.sleep(60), 0.01, link)
    assert await within(asyncio.sleep(0, "done"), 1, link) == "done"


async def test_who_is_told_to_end_in_the_moment_of_an_answer_ends() -> None:
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(within(answer, 10, Link(KafkaSettings("127.0.0.1:1", "test"))))
    await asyncio.sleep(0)
    answer.set_result("here")
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()


def _record(message: str, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("aiokafka.client", level, "", 0, message, ("a",), None)


def test_aiokafka_says_nothing_about_an_absent_broker_and_everything_else_once() -> None:
    quiet = OncePerPeriod()
    assert not quiet.filter(_record('Unable connect to "%s:%s": %s', logging.ERROR))
    assert not quiet.filter(_record("Request to %s", logging.DEBUG))
    assert [quiet.filter(_record("Unexpected thing %s")) for _ in range(3)] == [True, False, False]
    assert quiet.filter(_record("Another thing %s"))
