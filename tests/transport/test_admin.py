"""What the broker is asked for when topics are made, and what is said of those that were there before."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource
from aiokafka.errors import NodeNotReadyError
from aiokafka.protocol.metadata import MetadataRequest

from schemas.errors import LocalError
from transport.admin import Admin, TopicDifference, TopicSpec
from transport.settings import KafkaSettings
from transport.staying.link import Link

SETTINGS = KafkaSettings("127.0.0.1:9092", "tests")


class Brokers:
    """Brokers 1 to `count`, as aiokafka's client of administration shows them; `made` is what was asked for.

    `late`: how often a broker is asked before it tells of what was made; None for one that answers nothing.
    """

    def __init__(self, count: int, late: Mapping[int, int | None] | None = None) -> None:
        self.count = count
        self.late = dict(late or {})
        nodes = [SimpleNamespace(nodeId=number) for number in range(1, count + 1)]
        self._client = SimpleNamespace(cluster=SimpleNamespace(brokers=lambda: nodes))
        self.topics: dict[str, tuple[list[list[int]], dict[str, str]]] = {}
        self.made: list[NewTopic] = []

    def add(self, name: str, on: int, **config: str) -> None:
        words = {key.replace("_", "."): value for key, value in config.items()}
        self.topics[name] = ([list(range(1, on + 1))], {"min.insync.replicas": "1", **words})

    async def create_topics(self, topics: list[NewTopic]) -> object:
        for topic in topics:
            self.made.append(topic)
            self.topics[topic.name] = ([[1]] * topic.num_partitions, topic.topic_configs)
        return SimpleNamespace(topic_errors=[])

    async def _send_request(self, request: MetadataRequest, node: int) -> object:
        late = self.late.get(node, 0)
        if late is None:
            raise NodeNotReadyError
        self.late[node] = max(late - 1, 0)
        return SimpleNamespace(to_object=lambda: {"topics": [] if late else [{"topic": name} for name in self.topics]})

    async def describe_topics(self) -> list[Mapping[str, Any]]:
        return [
            {"topic": name, "partitions": [{"replicas": on} for on in replicas]}
            for name, (replicas, _) in self.topics.items()
        ]

    async def describe_cluster(self) -> Mapping[str, Any]:
        return {"brokers": [{"node_id": number} for number in range(1, self.count + 1)]}

    async def describe_configs(self, resources: list[ConfigResource]) -> list[object]:
        found = [(0, None, 2, one.name, list(self.topics[one.name][1].items())) for one in resources]
        return [SimpleNamespace(resources=found)]


def admin_of(brokers: Brokers, monkeypatch: pytest.MonkeyPatch) -> Admin:
    async def client(_: Admin) -> Brokers:
        return brokers

    monkeypatch.setattr(Admin, "_live_client", client)
    return Admin(SETTINGS, Link(SETTINGS))


@pytest.mark.parametrize(("count", "replicas", "insync"), [(1, 1, "1"), (2, 2, "1"), (3, 3, "2"), (5, 3, "2")])
async def test_a_topic_is_made_on_three_brokers_and_acknowledged_by_two(
    monkeypatch: pytest.MonkeyPatch, count: int, replicas: int, insync: str
) -> None:
    brokers = Brokers(count)
    assert await admin_of(brokers, monkeypatch).create_topics([TopicSpec("one", 8, {"flush.messages": "1"})]) == []
    assert [(made.num_partitions, made.replication_factor) for made in brokers.made] == [(8, replicas)]
    assert brokers.made[0].topic_configs == {"flush.messages": "1", "min.insync.replicas": insync}


async def test_another_replication_is_asked_for_by_name_and_never_more_than_there_are_brokers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brokers = Brokers(3)
    admin = admin_of(brokers, monkeypatch)
    await admin.create_topics([TopicSpec("one")], replication=1)
    assert (brokers.made[0].replication_factor, brokers.made[0].topic_configs) == (1, {"min.insync.replicas": "1"})
    with pytest.raises(LocalError, match="4 replicas of each topic are asked for, and the cluster has 3 brokers"):
        await admin.create_topics([TopicSpec("one"), TopicSpec("two")], replication=4)
    assert [made.name for made in brokers.made] == ["one"]


async def test_an_existing_topic_on_fewer_brokers_is_told_and_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    brokers = Brokers(3)
    brokers.add("old", on=1)
    told = await admin_of(brokers, monkeypatch).create_topics([TopicSpec("old"), TopicSpec("new")])
    assert told == [TopicDifference("old", "replication", "3", "1")]
    assert [made.name for made in brokers.made] == ["new"]


async def test_every_topic_of_the_federation_that_lies_on_too_few_brokers_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brokers = Brokers(3)
    brokers.add("wardround.members", on=3, min_insync_replicas="2")
    brokers.add("wardround.plans", on=3)
    brokers.add("wardround.offers.aachen", on=1)
    brokers.add("somebody.else", on=1)
    brokers.add("__transaction_state", on=1)
    brokers.add("__consumer_offsets", on=3)
    assert await admin_of(brokers, monkeypatch).thin_topics("wardround.") == [
        TopicDifference("wardround.offers.aachen", "replication", "3", "1"),
        TopicDifference("wardround.plans", "min.insync.replicas", "2", "1"),
        TopicDifference("__transaction_state", "replication", "3", "1"),
    ]


async def test_one_broker_can_have_nothing_on_more(monkeypatch: pytest.MonkeyPatch) -> None:
    brokers = Brokers(1)
    brokers.add("wardround.members", on=1)
    assert await admin_of(brokers, monkeypatch).thin_topics("wardround.") == []


async def test_a_new_topic_is_waited_for_until_each_broker_that_answers_tells_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brokers = Brokers(3, late={1: 0, 2: 3, 3: None})
    await admin_of(brokers, monkeypatch).create_topics([TopicSpec("one")])
    assert brokers.late == {1: 0, 2: 0, 3: None}


class Unsettled(Brokers):
    """Brokers without a controller just now, over which aiokafka trips."""

    trips = 2

    async def describe_cluster(self) -> Mapping[str, Any]:
        self.trips -= 1
        if self.trips >= 0:
            raise AttributeError("'NoneType' object has no attribute 'nodeId'")
        return await super().describe_cluster()


async def test_a_cluster_that_is_choosing_its_controller_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    brokers = Unsettled(3)
    monkeypatch.setattr(Link, "next_backoff_s", lambda _: 0.0)
    await admin_of(brokers, monkeypatch).create_topics([TopicSpec("wardround.plans")])
    assert [topic.name for topic in brokers.made] == ["wardround.plans"]


async def test_a_topic_whose_settings_the_broker_leaves_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_: Brokers, resources: object) -> list[object]:
        return [SimpleNamespace(resources=[])]

    brokers = Brokers(1)
    brokers.add("wardround.plans", 1)
    monkeypatch.setattr(Brokers, "describe_configs", nothing)
    with pytest.raises(LocalError, match=r"does not describe wardround\.plans"):
        await admin_of(brokers, monkeypatch).describe("wardround.plans")
