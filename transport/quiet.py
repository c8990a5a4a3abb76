"""Keeps aiokafka's own log lines from filling a hospital's disk while the link is away.

Knows:    which of its messages repeat what link or writer say themselves, once in 30 s.
Never:    hides anything else: what is left passes once in 30 s for each kind of message.
Used by:  transport.clients.
"""

import logging
import time

from transport.link import LOG_PERIOD_S

_SAID_BETTER = (
    "Unable connect to",
    "Unable to request metadata",
    "Unable to update metadata",
    "Failed fetch messages",
    "Failed fetch offsets",
    "Cannot send",
    "Could not send",
    "Got error produce response",
    "FindCoordinator Request failed",
    "Unexpected error in sender routine",  # the writer itself says what became of it
    "Topic %s is not available",
    "Topic %s not found",
    "Received unknown topic or partition error",
)


class OncePerPeriod(logging.Filter):
    """Lets a kind of message pass once in 30 s, and those that only report an absent broker never."""

    def __init__(self) -> None:
        super().__init__()
        self._passed_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return False
        message = str(record.msg)
        if message.startswith(_SAID_BETTER):
            return False
        now = time.monotonic()
        if now - self._passed_at.get(message, -LOG_PERIOD_S) < LOG_PERIOD_S:
            return False
        if len(self._passed_at) >= 1000:  # a message with an address in its text must not grow this for ever
            self._passed_at.clear()
        self._passed_at[message] = now
        return True


def quiet() -> None:
    """Put the filter on every logger of aiokafka; a second call changes nothing."""
    for name in list(logging.root.manager.loggerDict):
        if name == "aiokafka" or name.startswith("aiokafka."):
            logger = logging.getLogger(name)
            if not any(isinstance(filter_, OncePerPeriod) for filter_ in logger.filters):
                logger.addFilter(OncePerPeriod())
