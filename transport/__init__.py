"""The only room that knows aiokafka: logs, writers, transactions, bodies by reference, topics, policy for errors."""

from transport.errors import BodyGone, CommitUnknown, Fenced, TransactionAborted

__all__ = ["BodyGone", "CommitUnknown", "Fenced", "TransactionAborted"]
