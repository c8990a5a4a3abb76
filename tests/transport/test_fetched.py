"""Whatever a broker answers to a fetch is told for what it is; none of it is an error that nobody foresaw."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import errors
from hypothesis import given
from hypothesis import strategies as st

from transport.reading.fetched import check_whole, of_topic


def _answer(*topics: Any, throttle_ms: int = 0, **parts: Any) -> SimpleNamespace:
    return SimpleNamespace(throttle_time_ms=throttle_ms, topics=list(topics), **parts)


def test_a_fetch_that_a_quota_slows_down_brings_nothing_yet() -> None:
    assert of_topic(_answer(throttle_ms=900), "bodies") is None


@pytest.mark.parametrize(
    "answer",
    [_answer(), _answer(error_code=0), _answer(("other", [(0, 0, b"x")])), _answer(("bodies", [])),
     _answer(("bodies", [(1, 0, b"x")]))],
    ids=["no topics", "no topics and no error", "another topic", "no partition", "another partition"],
)  # fmt: skip
def test_an_answer_without_what_was_asked_for_is_asked_for_again(answer: Any) -> None:
    with pytest.raises(errors.KafkaProtocolError) as caught:
        of_topic(answer, "bodies")
    assert caught.value.retriable


def test_an_error_for_the_whole_request_is_told_although_there_are_no_topics() -> None:
    with pytest.raises(errors.FetchSessionIdNotFound):
        of_topic(_answer(error_code=70, throttle_ms=5), "bodies")
    with pytest.raises(errors.FetchSessionIdNotFound):
        check_whole(_answer(error_code=70))


def test_an_error_for_the_topic_is_told_with_its_name() -> None:
    with pytest.raises(errors.TopicAuthorizationFailedError, match="bodies"):
        of_topic(_answer(("bodies", [(0, 29, -1, b"")])), "bodies")


def test_batches_come_as_bytes_also_where_there_are_none() -> None:
    assert of_topic(_answer(("other", []), ("bodies", [(1, 0, b"no"), (0, 0, 7, b"yes")])), "bodies") == b"yes"
    assert of_topic(_answer(("bodies", [(0, 0, 7, None)])), "bodies") == b""


_partition = st.tuples(st.integers(0, 2), st.integers(-1, 120), st.integers(), st.none() | st.binary())
_topics = st.lists(st.tuples(st.sampled_from(["bodies", "other"]), st.lists(_partition, max_size=3)), max_size=3)


@given(topics=_topics, throttle_ms=st.integers(0, 9), code=st.integers(-1, 120))
def test_no_answer_is_anything_but_bytes_nothing_yet_or_an_error_of_kafka(
    topics: Any, throttle_ms: int, code: int
) -> None:
    try:
        found = of_topic(_answer(*topics, throttle_ms=throttle_ms, error_code=code), "bodies")
    except errors.KafkaError:
        return
    assert found is None or isinstance(found, bytes)
