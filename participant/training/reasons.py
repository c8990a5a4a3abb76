"""Why work at the trainer came to nothing: one word each, in metrics, logs and the trainer's answers."""

from enum import StrEnum


class Reason(StrEnum):
    """In an answer of the trainer: up to CANCELLED. Of a trainer that is lost: from DIED on."""

    NUMBERS = "numbers"  # the task gave numbers that are not finite
    NOBODY = "nobody"  # there is no training patient here
    DISK = "disk"
    TASK = "task"  # an error in the task's code
    DATA = "data"  # the data are not as they must be, and may come right
    SETUP = "setup"  # task or settings are not as they must be
    CANCELLED = "cancelled"
    DIED = "died"
    KILLED = "killed"  # by the kernel, mostly for memory
    HUNG = "hung"  # no sign for too long
    ENDLESS = "endless"  # no end in time
    DEAF = "deaf"  # it did not stop when it was asked to
    GARBLED = "garbled"  # it wrote what no trainer writes
    TOPIC = "topic"  # what was measured has no topic to go to


ANSWERED = frozenset(
    {Reason.NUMBERS, Reason.NOBODY, Reason.DISK, Reason.TASK, Reason.DATA, Reason.SETUP, Reason.CANCELLED}
)
