"""The settings of one node of a federation's cluster: clients come by one port, brokers have a way among themselves.

Knows:    what the design relies on; docs/federation.md says why, doctor looks whether it is so.
Never:    starts anything.
Source:   Kafka's documentation, "Broker Configs"; `ssl.*` and what every broker of ours has stand in config.py.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ops.kafka.config import CONTROLLER, DATA, EVERY_NODE, MAIN, SECURED, copies
from ops.sni import Limits
from schemas.errors import LocalError
from schemas.topics import BATCH_BYTES_MAX

BROKERS = "BROKERS"  # brokers among themselves, past the one port that clients come by
NEW_CONNECTIONS_S = 100  # a TLS handshake costs a broker about 10 ms of CPU

_BROKERS_OWN = 200  # connections of the other nodes, and of tools on their machines
_CLIENTS = f"listener.name.{MAIN.lower()}"


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

    @property
    def hosts(self) -> tuple[str, str]:
        """What its certificate has to name, for clients and for the other nodes."""
        return self.advertised.rpartition(":")[0], self.inside


def node_properties(node: Node, nodes: Sequence[Node]) -> str:
    """The text of server.properties; data, keystores and compiler.json lie where the node is started.

    Raises LocalError where two nodes have one number, or this one is not among them.
    """
    numbers = [one.number for one in nodes]
    if len(set(numbers)) != len(numbers) or node.number not in numbers:
        raise LocalError(
            f"the nodes have the numbers {', '.join(map(str, numbers))}, and this one is {node.number}",
            hint="each node has a number of its own, and all are named with each of them",
        )
    groups = {
        "Who it is. Every node is broker and controller; all name the same voters.": {
            "node.id": str(node.number),
            "controller.quorum.voters": ",".join(one.voter for one in nodes),
            "log.dirs": DATA,
            **EVERY_NODE,
        },
        "Where it listens. Clients come by the one port, brokers and controllers reach each other past it.": (
            _listeners(node)
        ),
        "On how many brokers a record lies before it is acknowledged.": {
            **copies(len(nodes)),
            "unclean.leader.election.enable": "false",
        },
        "Who is let in: TLS 1.3 with certificates both ways, and rights by the name in them.": SECURED,
        "How much is let in. Behind the one port every client has its address; it bounds each source itself.": (
            _bounds()
        ),
    }
    return "\n".join(_text(said, settings) for said, settings in groups.items())


def _listeners(node: Node) -> dict[str, str]:
    ports = {MAIN: node.client_port, BROKERS: node.broker_port, CONTROLLER: node.controller_port}
    return {
        "listeners": ",".join(f"{name}://{node.inside}:{port}" for name, port in ports.items()),
        "advertised.listeners": f"{MAIN}://{node.advertised},{BROKERS}://{node.inside}:{node.broker_port}",
        "listener.security.protocol.map": ",".join(f"{name}:SSL" for name in ports),
        "inter.broker.listener.name": BROKERS,
        "controller.listener.names": CONTROLLER,
    }


def _bounds() -> dict[str, str]:
    clients = Limits().connections
    return {
        "message.max.bytes": str(BATCH_BYTES_MAX),
        "replica.fetch.max.bytes": str(2 * BATCH_BYTES_MAX),
        "max.connections": str(clients + _BROKERS_OWN),
        "max.connections.per.ip": str(clients + _BROKERS_OWN),
        f"{_CLIENTS}.max.connections": str(clients),
        f"{_CLIENTS}.max.connection.creation.rate": str(NEW_CONNECTIONS_S),
        "connections.max.idle.ms": "3600000",  # firewalls forget sooner; keep-alive keeps them reminded
        "group.min.session.timeout.ms": "1000",
    }


def _text(said: str, settings: Mapping[str, str]) -> str:
    return "".join([f"# {said}\n", *(f"{key}={value}\n" for key, value in settings.items())])


def cluster_id(root: bytes) -> str:
    """What Kafka formats a disk with: 22 characters that follow from the federation's root, alike for every broker."""
    return "w" + base64.urlsafe_b64encode(hashlib.sha256(root).digest()[:16]).decode().rstrip("=")[1:]
