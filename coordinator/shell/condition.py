"""In what condition a study is: one word for metrics and alerts, and for people what happened and what to do."""

from dataclasses import dataclass

from schemas.errors import FederationError, LocalError, PeerError
from transport.errors import BodyGone, LogReset, LogUndecided, TopicMissing


@dataclass(frozen=True, slots=True)
class Condition:
    """`stands`: nothing more happens until somebody acts and the coordinator is started again."""

    name: str
    stands: bool
    to_do: str


RUNS = Condition("runs", False, "")
_KEEP = "change nothing on the broker, keep a copy of its data, and tell the registrar"
FORKED = Condition("forked", True, f"two records claim one place on the log: {_KEEP}; sites have stopped as well")
LOST = Condition("log-lost", True, f"records that other topics refer to are gone: {_KEEP}; a backup may have them")
UNREADABLE = Condition(
    "log-unreadable", True, f"a record that a coordinator signed breaks the log, or its key is revoked by now: {_KEEP}"
)
NO_TOPIC = Condition(
    "topic-missing",
    False,
    "bring it back from a replica or a backup; made again by `wardround study create` it is empty, and without what "
    "stood on rounds, receipts and keys the study cannot go on; with `commands` went pauses and exclusions: command "
    "them again at once",
)
BODY_GONE = Condition(
    "body-gone",
    False,
    "a body of a site is left out by itself; a model that is off the log: restore `models` from a backup",
)
UNDECIDED = Condition(
    "log-undecided",
    False,
    "records are hidden and do not say how their transaction ends: restart the broker; if that does not help, end the "
    "hanging transaction of the coordinator with Kafka's own tools",
)
LOCAL = Condition("local-trouble", False, "see the reason: it lies with this machine or its rights on the broker")
ALL = (RUNS, FORKED, LOST, UNREADABLE, NO_TOPIC, BODY_GONE, UNDECIDED, LOCAL)


def condition_of(error: FederationError | OSError) -> Condition:
    """What an error that ended a study's run means for the study."""
    if isinstance(error, LogReset) or (isinstance(error, PeerError) and error.code == "lost"):
        return LOST
    if isinstance(error, PeerError):
        return FORKED if error.code == "forked" else UNREADABLE
    if isinstance(error, BodyGone):
        return BODY_GONE
    if isinstance(error, TopicMissing):
        return NO_TOPIC
    if isinstance(error, LogUndecided):
        return UNDECIDED
    assert isinstance(error, LocalError | OSError)
    return LOCAL
