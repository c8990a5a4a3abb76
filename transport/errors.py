"""What can go wrong between a service and the broker, beyond the broker being away.

Used by: coordinator.shell, participant.shell, wardround.
"""

from collections.abc import Sequence

from schemas.errors import FederationError, LocalError, TransientError


class Fenced(FederationError):  # noqa: N818 - named for what happened
    """Another process took over the transactional id: this one may write nothing more and has to end."""


class CommitUnknown(FederationError):  # noqa: N818 - named for what happened
    """A transaction may or may not have been committed: the process ends and is rebuilt from the log."""


class TransactionAborted(TransientError):  # noqa: N818 - named for what happened
    """A transaction was certainly not committed and nobody will ever see its records; it may be tried again."""


class TopicMissing(LocalError):  # noqa: N818 - named for what happened
    """`topics` do not exist, or this member may not see them."""

    def __init__(self, message: str, *, hint: str = "", topics: Sequence[str] = ()) -> None:
        super().__init__(message, hint=hint)
        self.topics = topics


class LogUndecided(LocalError):  # noqa: N818 - named for what happened
    """Records of a predecessor's last transaction lie on topics and nobody can read them, nor know how it ended."""

    def __init__(self, topics: list[str]) -> None:
        super().__init__(f"records on {', '.join(topics)} that committed readers do not get")
        self.topics = topics


class LogReset(FederationError):  # noqa: N818 - named for what happened
    """A topic ends before what was read of it: it was deleted and made anew, or the broker lost its end."""


class BodyGone(FederationError):  # noqa: N818 - named for what happened
    """Chunks of a body are no longer on their topic (aged out, trimmed, or never there): ask for the body anew."""

    def __init__(self, topic: str, offset: int) -> None:
        super().__init__(f"{topic}: offset {offset} holds no chunk any more")
        self.topic = topic
        self.offset = offset
