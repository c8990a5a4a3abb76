"""Keeps aiokafka's own log lines from filling a hospital's disk while the link is away.

Knows:    which of its messages repeat what link or writer say themselves, once in 30 s.
          What the broker answers instead of storing is told to whoever counts it: aiokafka tries again in silence.
Never:    hides anything else: what is left passes once in 30 s for each kind of message.
"""

import logging
import time
from collections.abc import Callable

import structlog

from transport.staying.link import LOG_PERIOD_S

_PRODUCE_ERROR = "Got error produce response on topic-partition"
_log = structlog.get_logger("transport")
_listeners: list[Callable[[str], None]] = []
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
_ASKED_AGAIN = "Group Coordinator Request failed"  # the first group of a new broker is waited for some seconds


class OncePerPeriod(logging.Filter):
    """Lets a kind of message pass once in 30 s, and those that only report an absent broker never."""

    def __init__(self) -> None:
        super().__init__()
        self._passed_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return False
        message = str(record.msg)
        if message.startswith(_PRODUCE_ERROR):
            _tell(record)
        if message.startswith(_SAID_BETTER) or (message.startswith(_ASKED_AGAIN) and _passes(record)):
            return False
        now = time.monotonic()
        if now - self._passed_at.get(message, -LOG_PERIOD_S) < LOG_PERIOD_S:
            return False
        if len(self._passed_at) >= 1000:  # a message with an address in its text must not grow this for ever
            self._passed_at.clear()
        self._passed_at[message] = now
        return True


def on_produce_error(callback: Callable[[str], None]) -> None:
    """Call `callback(name)` for each answer of the broker that a record was not stored, with the error's name."""
    _listeners.append(callback)


def _tell(record: logging.LogRecord) -> None:
    for told in record.args if isinstance(record.args, tuple) else ():
        name = told.__name__ if isinstance(told, type) else type(told).__name__
        if name.endswith("Error"):
            for listener in _listeners:
                listener(name)
            if name == "KafkaStorageError":
                _storage.say()


def _passes(record: logging.LogRecord) -> bool:
    """Whether the error in a record is one that aiokafka tries again after."""
    return isinstance(record.args, tuple) and any(getattr(told, "retriable", False) for told in record.args)


class _Storage:
    """One line in 30 s while the broker cannot store records."""

    def __init__(self) -> None:
        self._said_at = -LOG_PERIOD_S

    def say(self) -> None:
        if time.monotonic() - self._said_at >= LOG_PERIOD_S:
            self._said_at = time.monotonic()
            _log.error("the broker cannot store records; free its disk, everything waits until then")


_storage = _Storage()


def quiet() -> None:
    """Put the filter on every logger of aiokafka; a second call changes nothing."""
    for name in list(logging.root.manager.loggerDict):
        if name == "aiokafka" or name.startswith("aiokafka."):
            logger = logging.getLogger(name)
            if not any(isinstance(filter_, OncePerPeriod) for filter_ in logger.filters):
                logger.addFilter(OncePerPeriod())
