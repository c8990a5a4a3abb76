"""What an operator works with: the embedded Kafka, a link that can be cut, and data files for operations."""
