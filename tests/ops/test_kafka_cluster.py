"""The settings of one node of several: alike for all where they have to be, and its own where not."""

import re

import pytest

from ops.kafka.cluster import Node, cluster_id, node_properties
from ops.kafka.config import CONTROLLER, MAIN, server_properties
from schemas.errors import LocalError
from tests.network.typed import blocks

NODES = [Node(number, f"10.0.0.{number}", f"b{number}.example.org:443") for number in (1, 2, 3)]


def settings(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len({line.partition("=")[0] for line in lines}) == len(lines)
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def test_nodes_differ_in_who_and_where_they_are_alone() -> None:
    first, second = (settings(node_properties(node, NODES)) for node in NODES[:2])
    assert {name for name in first if first[name] != second[name]} == {
        "node.id",
        "listeners",
        "advertised.listeners",
    }


def test_clients_come_by_the_one_port_and_brokers_past_it() -> None:
    found = settings(node_properties(NODES[1], NODES))
    assert found["advertised.listeners"] == "CLIENTS://b2.example.org:443,BROKERS://10.0.0.2:9094"
    assert found["inter.broker.listener.name"] == "BROKERS"
    assert set(re.findall(r":(\w+)", found["listener.security.protocol.map"])) == {"SSL"}
    assert NODES[1].hosts == ("b2.example.org", "10.0.0.2")


@pytest.mark.parametrize(("count", "copies", "least"), [(1, "1", "1"), (2, "2", "1"), (3, "3", "2"), (5, "3", "2")])
def test_what_is_acknowledged_lies_on_as_many_brokers_as_there_can_be(count: int, copies: str, least: str) -> None:
    nodes = [Node(number, f"10.0.0.{number}", f"b{number}.example.org:443") for number in range(1, count + 1)]
    found = settings(node_properties(nodes[0], nodes))
    assert {found[name] for name in found if name.endswith("replication.factor")} == {copies}
    assert {found[name] for name in found if name.endswith(("min.isr", "min.insync.replicas"))} == {least}


def test_the_small_broker_of_demo_and_tests_believes_and_refuses_alike() -> None:
    small = settings(server_properties({MAIN: 1, CONTROLLER: 2}, {}, secured=True))
    large = settings(node_properties(NODES[0], NODES))
    for name in small:
        if name.startswith(("ssl.", "authorizer", "allow.", "super.", "auto.", "connection.failed")):
            assert large[name] == small[name]


def test_a_node_that_is_none_of_the_nodes_is_refused() -> None:
    for nodes in (NODES[1:], [NODES[0], NODES[0]]):
        with pytest.raises(LocalError, match="the nodes have the numbers"):
            node_properties(NODES[0], nodes)


def test_every_broker_of_a_federation_has_one_cluster_id_that_kafka_takes() -> None:
    ids = {cluster_id(bytes([number]) * 32) for number in range(50)}
    assert len(ids) == 50
    assert all(re.fullmatch(r"w[A-Za-z0-9_-]{21}", one) for one in ids)


def test_the_document_shows_the_settings_as_they_are_written() -> None:
    [shown] = blocks("federation.md", "properties")
    assert shown == node_properties(NODES[0], NODES)
