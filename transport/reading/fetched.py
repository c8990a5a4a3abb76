"""What a broker answered to a fetch. It need not hold what was asked for: every answer is told for what it is.

Source:   https://kafka.apache.org/protocol#The_Messages_Fetch: an error for the whole since version 7; no topics where
          a quota slows the client down (KIP-219).
"""

from typing import Any

from aiokafka import errors


def check_whole(response: Any) -> None:
    """Raises the error that the broker gives for the request as a whole, and KafkaProtocolError for one without topics.

    Without topics is right where the broker asks to wait, and only there.
    """
    code = getattr(response, "error_code", 0)
    if code:
        raise errors.for_code(code)("the fetch as a whole")
    if not response.topics and not response.throttle_time_ms:
        raise errors.KafkaProtocolError("a fetch was answered without any topic")


def of_topic(response: Any, topic: str) -> bytes | None:
    """The batches of partition 0 of the one topic that was asked for; None where the broker asks to wait first.

    Raises the error that the broker gives instead, and KafkaProtocolError for an answer about something else.
    """
    check_whole(response)
    if not response.topics:
        return None
    found = [one for name, partitions in response.topics if name == topic for one in partitions if one[0] == 0]
    if not found:
        raise errors.KafkaProtocolError(f"a fetch of {topic} was answered about something else")
    _, code, *_, records = found[0]
    if code:
        raise errors.for_code(code)(topic)
    return bytes(records or b"")
