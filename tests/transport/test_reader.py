"""What a reader does with a connection over which nothing is answered any more."""

from typing import Any, cast

from aiokafka.errors import RequestTimedOutError

from transport.reading.log import LogReader
from transport.settings import KafkaSettings
from transport.staying.link import Link


class Deaf:
    """A consumer that fetches, but hears nothing of what else it asks."""

    stopped = False

    async def topics(self) -> set[str]:
        raise RequestTimedOutError

    async def close(self) -> None:
        self.stopped = True


async def test_a_consumer_that_is_not_told_which_topics_there_are_is_replaced() -> None:
    settings, deaf = KafkaSettings("127.0.0.1:1", "test"), Deaf()
    reader = LogReader(settings, Link(settings))
    reader._live.now = cast(Any, deaf)
    assert await reader.missing({"lost"}) is None
    assert reader._live.now is None
    assert deaf.stopped
