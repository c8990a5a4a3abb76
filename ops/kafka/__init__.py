"""A one-node Kafka for demo, tests and development: no Java, no Maven and no container needed on the machine."""

from ops.kafka.broker import PLAINTEXT_ON_PURPOSE, Broker, BrokerKeys
from ops.kafka.install import Kafka, ensure

__all__ = ["PLAINTEXT_ON_PURPOSE", "Broker", "BrokerKeys", "Kafka", "ensure"]
