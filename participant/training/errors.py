"""What a service is told of work that came to nothing while its trainer lives on."""

from participant.training.reasons import Reason
from schemas.errors import FederationError, LocalError


class TrainerRefusedError(FederationError):
    """The trainer answered with a failure.

    took_s   how long the trainer was at it
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason, self.took_s = reason, 0.0


class LoadError(LocalError):
    """A study's task or data are not as they must be, so that nothing can be done for it.

    mends    whether it may come right without other settings or another task: data that are not there yet, say
    took_s   how long the trainer was at it
    """

    def __init__(
        self, message: str, *, hint: str = "", mends: bool = False, reason: Reason = Reason.SETUP, took_s: float = 0.0
    ) -> None:
        super().__init__(message, hint=hint)
        self.mends, self.reason, self.took_s = mends, reason, took_s
