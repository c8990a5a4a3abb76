"""On how many brokers a topic lies, and on how many disks a record is before it is acknowledged: decided from facts.

Knows:    brokers that are away count as long as some topic has a replica there: a cluster of three of which one is
          down is one of three.
Never:    asks a broker.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from schemas.errors import LocalError

REPLICAS = 3  # one broker may be lost while another is away
INSYNC = "min.insync.replicas"
REPLICATION = "replication"


@dataclass(frozen=True, slots=True)
class Cluster:
    """What one broker says of all of them."""

    brokers: int
    replicas: Mapping[str, int]  # topic -> replicas of that partition of it that has the fewest
    partitions: Mapping[str, int]

    @classmethod
    def of(cls, live: Iterable[int], topics: Iterable[Mapping[str, Any]]) -> Self:
        """From Kafka's metadata: node ids of the brokers that are there, and topics as aiokafka describes them."""
        nodes, replicas, partitions = set(live), dict[str, int](), dict[str, int]()
        for topic in topics:
            held = [partition["replicas"] for partition in topic["partitions"]]
            nodes.update(node for nodes_of_one in held for node in nodes_of_one)
            replicas[topic["topic"]] = min((len(nodes_of_one) for nodes_of_one in held), default=0)
            partitions[topic["topic"]] = len(held)
        return cls(len(nodes), replicas, partitions)


def replication_of(brokers: int, asked: int | None) -> int:
    """How many replicas a topic gets: what was asked for by name, else three, or one a broker where there are fewer.

    Raises LocalError when the cluster cannot have as many as were asked for.
    """
    if asked is None:
        return min(REPLICAS, brokers)
    if not 1 <= asked <= brokers:
        there = "one broker" if brokers == 1 else f"{brokers} brokers"
        raise LocalError(
            f"{asked} replicas of each topic are asked for, and the cluster has {there}",
            hint=f"add brokers, or leave --replication out for {min(REPLICAS, brokers)}",
        )
    return asked


def insync_of(replication: int) -> int:
    """On how many brokers a record has to be before it is acknowledged.

    With two replicas it is one, or whoever writes would wait for each restart of either broker.
    """
    return 2 if replication >= REPLICAS else 1


def lacking(replicas: int, insync: str | None, wanted: int) -> dict[str, tuple[str, str | None]]:
    """What an existing topic lacks: setting -> (wanted, actual); `insync` is its min.insync.replicas.

    More than wanted is no lack. Until the replicas are there nothing is said of `insync`: raised before them, it would
    let nobody write.
    """
    if replicas < wanted:
        return {REPLICATION: (str(wanted), str(replicas))}
    if insync is None or int(insync) < insync_of(wanted):
        return {INSYNC: (str(insync_of(wanted)), insync)}
    return {}
