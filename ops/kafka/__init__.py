"""A one-node Kafka for demo, tests and development: no Java, no Maven and no container needed on the machine."""

from ops.kafka.broker import Broker
from ops.kafka.install import Kafka, ensure

__all__ = ["Broker", "Kafka", "ensure"]
