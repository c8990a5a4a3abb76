"""What can go wrong between a service and the broker, beyond the broker being away."""

from collections.abc import Iterable

from schemas.errors import FederationError, LocalError, TransientError

NO_TOPIC_HINT = (
    "the registrar makes topics: `wardround registrar approve` a site's, `wardround study create` a study's; one that "
    "was deleted comes back empty: first ask whoever looks after Kafka whether a backup has it"
)

RIGHTS_HINT = (
    "the broker's access rules (ACLs) do not let this member do it: ask whoever looks after Kafka to grant it, "
    "kafka-acls.sh --list shows what is granted"
)


class Fenced(FederationError):  # noqa: N818 - named for what happened
    """Another process took over the transactional id: this one may write nothing more and has to end."""


class CommitUnknown(FederationError):  # noqa: N818 - named for what happened
    """A transaction may or may not have been committed: the process ends and is rebuilt from the log."""


class TransactionAborted(TransientError):  # noqa: N818 - named for what happened
    """A transaction was certainly not committed and nobody will ever see its records; it may be tried again."""


class TopicMissing(LocalError):  # noqa: N818 - named for what happened
    """Topics do not exist, or this member may not use them: `forbidden` are those of `topics`."""

    def __init__(
        self, topics: Iterable[str], bootstrap: str, *, wanted: str = "read", forbidden: Iterable[str] = ()
    ) -> None:
        self.topics = frozenset(topics)
        self.forbidden = self.topics.intersection(forbidden)
        missing = ", ".join(sorted(self.topics - self.forbidden))
        said = [f"no topic {missing} on {bootstrap}"] if missing else []
        if self.forbidden:
            said.append(f"not allowed to {wanted} {', '.join(sorted(self.forbidden))} on {bootstrap}")
        super().__init__("; ".join(said), hint=NO_TOPIC_HINT if missing else RIGHTS_HINT)


class NotAllowed(LocalError):  # noqa: N818 - named for what happened
    """This client's rights do not cover what it asked for, which is not the same as a topic that is missing."""

    def __init__(self, what: object) -> None:
        super().__init__(f"not allowed by the broker: {what}", hint=RIGHTS_HINT)


class LogUndecided(LocalError):  # noqa: N818 - named for what happened
    """Records of a predecessor's last transaction lie on topics and nobody can read them, nor know how it ended."""

    def __init__(self, topics: list[str]) -> None:
        super().__init__(f"records on {', '.join(topics)} that committed readers do not get")
        self.topics = topics


class LogReset(FederationError):  # noqa: N818 - named for what happened
    """A topic ends before what was read of it: it was deleted and made anew, or the broker lost its end."""


class BodyGone(FederationError):  # noqa: N818 - named for what happened
    """Chunks of a body are no longer on their topic (aged out, trimmed, or never there): ask for the body anew."""

    def __init__(self, topic: str, offset: int, what: str = "no chunk any more") -> None:
        super().__init__(f"{topic}: offset {offset} holds {what}")
        self.topic = topic
        self.offset = offset
