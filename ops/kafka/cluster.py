"""The settings of one node of a federation's cluster: clients come by one port, brokers have a way among themselves.

Knows:    what the design relies on; docs/federation.md says why, doctor looks whether it is so.
Never:    starts anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ops.kafka.config import CONTROLLER, MAIN, SECURED
from schemas.errors import LocalError
from schemas.topics import BATCH_BYTES_MAX

BROKERS = "BROKERS"  # brokers among themselves, past the one port that clients come by
REPLICAS, INSYNC = 3, 2

_RELIED_ON = {
    "process.roles": "broker,controller",
    "auto.create.topics.enable": "false",
    "unclean.leader.election.enable": "false",
    "log.message.timestamp.type": "LogAppendTime",
    "message.max.bytes": str(BATCH_BYTES_MAX),
    "replica.fetch.max.bytes": str(2 * BATCH_BYTES_MAX),
    "group.min.session.timeout.ms": "1000",
    "max.connections.per.ip": "4000",  # behind one port every client has the proxy's address
    "connections.max.idle.ms": "3600000",  # firewalls forget sooner; keep-alive keeps them reminded
}


@dataclass(frozen=True, slots=True)
class Node:
    """One of a cluster's nodes.

    number      its node.id, from 1
    inside      its host as the other nodes and the one port reach it; it listens there and nowhere else
    advertised  "host:port" as clients reach it, behind the one port
    """

    number: int
    inside: str
    advertised: str
    client_port: int = 9092
    broker_port: int = 9094
    controller_port: int = 9093

    @property
    def voter(self) -> str:
        return f"{self.number}@{self.inside}:{self.controller_port}"


def node_properties(node: Node, nodes: Sequence[Node], *, folder: str = "data") -> str:
    """The text of server.properties; the keystores and compiler.json lie where the node is started.

    Raises LocalError where two nodes have one number, or this one is not among them.
    """
    numbers = [one.number for one in nodes]
    if len(set(numbers)) != len(numbers) or node.number not in numbers:
        raise LocalError(
            f"the nodes have the numbers {', '.join(map(str, numbers))}, and this one is {node.number}",
            hint="each node has a number of its own, and all are named with each of them",
        )
    replicas = min(REPLICAS, len(nodes))
    insync = str(min(INSYNC, replicas) if replicas == REPLICAS else 1)
    ports = {MAIN: node.client_port, BROKERS: node.broker_port, CONTROLLER: node.controller_port}
    settings = {
        **_RELIED_ON,
        "node.id": str(node.number),
        "log.dirs": folder,
        "controller.listener.names": CONTROLLER,
        "inter.broker.listener.name": BROKERS,
        "controller.quorum.voters": ",".join(one.voter for one in nodes),
        "listeners": ",".join(f"{name}://{node.inside}:{port}" for name, port in ports.items()),
        "advertised.listeners": f"{MAIN}://{node.advertised},{BROKERS}://{node.inside}:{node.broker_port}",
        "listener.security.protocol.map": ",".join(f"{name}:SSL" for name in ports),
        "default.replication.factor": str(replicas),
        "min.insync.replicas": insync,
        "offsets.topic.replication.factor": str(replicas),
        "transaction.state.log.replication.factor": str(replicas),
        "transaction.state.log.min.isr": insync,
        **SECURED,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())
