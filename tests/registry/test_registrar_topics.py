"""The registrar is told which topics lie on too few disks and what to do; it never changes them itself."""

from collections.abc import Iterable
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from registry.registrar import next_serial
from registry.topic_maker import TopicMaker
from schemas.errors import LocalError
from transport.admin import Admin, TopicDifference, TopicSpec
from transport.settings import KafkaSettings
from transport.staying.link import Link

SETTINGS = KafkaSettings("127.0.0.1:9092", "tests")
THIN = TopicDifference("wardround.members", "replication", "3", "1")
OF_A_SITE = TopicDifference("wardround.bodies.aachen", "replication", "3", "1")
UNFLUSHED = TopicDifference("wardround.plans", "flush.messages", "1", "9223372036854775807")


class Topics:
    """An Admin on whose cluster the topics exist, on one broker; `asked` is the replication of each call."""

    def __init__(self) -> None:
        self.asked: list[int | None] = []

    async def create_topics(
        self, specs: Iterable[TopicSpec], *, replication: int | None = None
    ) -> list[TopicDifference]:
        self.asked.append(replication)
        return [one for one in (THIN, UNFLUSHED) if one.topic in {spec.name for spec in specs}]

    async def thin_topics(self, prefix: str, *, replication: int | None = None) -> list[TopicDifference]:
        self.asked.append(replication)
        assert OF_A_SITE.topic.startswith(prefix)
        return [OF_A_SITE, THIN]


async def told(topics: Topics, **wanted: Any) -> list[dict[str, Any]]:
    """What a registrar warns of when it has looked at the log."""

    made = {"lead_partitions": None, "replication": None, **wanted}
    with capture_logs() as lines:
        await TopicMaker(cast(Admin, topics), Link(SETTINGS), **made).of_federation()
    return [dict(line) for line in lines if line["log_level"] == "warning"]


async def test_each_topic_on_too_few_brokers_is_named_once_with_what_to_do() -> None:
    lines = await told(Topics())
    thin = [line for line in lines if line["setting"] == "replication"]
    assert sorted(line["topic"] for line in thin) == [OF_A_SITE.topic, THIN.topic]
    assert {(line["wanted"], line["actual"]) for line in thin} == {("3", "1")}
    assert all("on 3 brokers: kafka-reassign-partitions.sh" in line["do"] for line in thin)


async def test_a_setting_that_differs_is_told_with_the_line_that_changes_it() -> None:
    (line,) = [line for line in await told(Topics()) if line["setting"] == "flush.messages"]
    assert line["do"].startswith("kafka-configs.sh")
    assert line["do"].endswith("--entity-name wardround.plans --add-config flush.messages=1")


async def test_the_replication_asked_for_counts_for_every_topic() -> None:
    topics = Topics()
    await told(topics, replication=2)
    assert topics.asked == [2, 2, 2]


def test_a_registrar_goes_on_over_an_older_log_only_when_told_so() -> None:
    assert next_serial(0, 0, restore=False) == 1
    assert next_serial(4, 4, restore=False) == 5
    assert next_serial(6, 4, restore=False) == 7, "another office has published meanwhile"
    with pytest.raises(LocalError, match="serial 3, this registrar has published serial 5") as refused:
        next_serial(3, 5, restore=False)
    assert "--restore" in refused.value.hint
    assert next_serial(3, 5, restore=True) == 6
