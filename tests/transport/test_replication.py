"""A topic lies on three brokers where there are three, and what is acknowledged is then on two disks."""

from collections.abc import Mapping
from typing import Any

import pytest

from schemas.errors import LocalError
from transport.writing.replication import INSYNC, REPLICATION, Cluster, insync_of, lacking, replication_of


def topic(name: str, *replicas: list[int]) -> Mapping[str, Any]:
    return {"topic": name, "partitions": [{"partition": at, "replicas": on} for at, on in enumerate(replicas)]}


@pytest.mark.parametrize(("brokers", "replicas"), [(1, 1), (2, 2), (3, 3), (9, 3)])
def test_a_topic_gets_three_replicas_or_one_a_broker_where_there_are_fewer(brokers: int, replicas: int) -> None:
    assert replication_of(brokers, None) == replicas


@pytest.mark.parametrize("asked", [1, 2, 5])
def test_another_number_is_asked_for_by_name(asked: int) -> None:
    assert replication_of(5, asked) == asked


@pytest.mark.parametrize(
    ("asked", "brokers", "there"), [(4, 3, "3 brokers"), (2, 1, "one broker"), (0, 3, "3 brokers")]
)
def test_more_replicas_than_brokers_are_refused_and_the_default_is_named(asked: int, brokers: int, there: str) -> None:
    with pytest.raises(LocalError, match=f"{asked} replicas of each topic are asked for, .* {there}") as refused:
        replication_of(brokers, asked)
    assert str(min(3, brokers)) in refused.value.hint
    assert "--replication" in refused.value.hint


@pytest.mark.parametrize(("replicas", "disks"), [(1, 1), (2, 1), (3, 2), (5, 2)])
def test_from_three_replicas_on_an_acknowledged_record_is_on_two_disks(replicas: int, disks: int) -> None:
    assert insync_of(replicas) == disks


def test_a_broker_that_is_down_is_still_counted_where_topics_lie_on_it() -> None:
    cluster = Cluster.of([1, 2], [topic("members", [1, 2, 3]), topic("lead", [2, 1, 3], [1])])
    assert cluster.brokers == 3
    assert cluster.replicas == {"members": 3, "lead": 1}
    assert cluster.partitions == {"members": 1, "lead": 2}


def test_a_topic_on_too_few_brokers_lacks_replicas_and_nothing_that_would_stop_its_writers() -> None:
    assert lacking(1, "1", 3) == {REPLICATION: ("3", "1")}
    assert lacking(2, "1", 3) == {REPLICATION: ("3", "2")}


def test_a_topic_with_its_replicas_may_still_lack_the_second_disk() -> None:
    assert lacking(3, "1", 3) == {INSYNC: ("2", "1")}
    assert lacking(3, None, 3) == {INSYNC: ("2", None)}


@pytest.mark.parametrize(("replicas", "insync", "wanted"), [(1, "1", 1), (3, "2", 3), (3, "2", 1), (5, "3", 3)])
def test_as_many_as_wanted_or_more_lack_nothing(replicas: int, insync: str, wanted: int) -> None:
    assert lacking(replicas, insync, wanted) == {}
