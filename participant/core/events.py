"""Facts that come to a study's core; the shell has verified them before."""

from dataclasses import dataclass
from enum import Enum

from schemas.records import Receipt


@dataclass(frozen=True, slots=True)
class Linked:
    """The broker answers, or does not any more."""

    connected: bool


@dataclass(frozen=True, slots=True)
class Announced:
    """The newest announcement; the same version may be announced again, e.g. as the final one."""

    version: int
    final: bool


@dataclass(frozen=True, slots=True)
class LogRead:
    """The log was read to its end: `record` is the index of the newest record of `rounds` there, -1 when it has none.

    None: reading has stopped for good at a record that must not be there, so where the log ends is not known.
    """

    record: int | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """The body of a version lies verified in a file."""

    version: int


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """A version could not be fetched: gone, damaged, or no space for it."""

    version: int


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A version was measured on the site's test patients."""

    version: int


@dataclass(frozen=True, slots=True)
class EvaluationFailed:
    """The trainer was lost, or the task failed, while it measured a version; it was busy with that for `took_ms`."""

    version: int
    took_ms: int = 0


@dataclass(frozen=True, slots=True)
class Trained:
    """An update from `base_version` lies in a file."""

    base_version: int


@dataclass(frozen=True, slots=True)
class TrainingFailed:
    """No update came of it. `again`: the same version may be tried again (the trainer died), else the next one.

    took_ms   how long the trainer was busy with it: others wait for it, so the next try waits at least as long
    ever      False: this site has nobody to train on, so nothing is trained here any more, and nothing is wrong
    """

    base_version: int
    again: bool
    took_ms: int = 0
    ever: bool = True


@dataclass(frozen=True, slots=True)
class AloneEnded:
    """The local baseline is measured, or (`done` false) could not be, after `took_ms` of the trainer's time."""

    done: bool
    took_ms: int = 0


@dataclass(frozen=True, slots=True)
class Sealed:
    """The update from `base_version` stands in the outbox under `sequence`, for good."""

    base_version: int
    sequence: int


@dataclass(frozen=True, slots=True)
class SealFailed:
    """The outbox could not take the update (no space); the update's file is still there."""

    base_version: int


@dataclass(frozen=True, slots=True)
class Sent:
    """The offer of `sequence` is acknowledged at `offset` of the site's offers topic."""

    sequence: int
    offset: int


@dataclass(frozen=True, slots=True)
class SendFailed:
    """Body or offer of `sequence` could not be sent for another reason than an absent broker."""

    sequence: int


@dataclass(frozen=True, slots=True)
class ReceiptRead:
    """This site's newest receipt."""

    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Requested:
    """A Request of `version` names this site's update `sequence` with `weight` in 16ths."""

    version: int
    sequence: int
    weight: int


class Holder(Enum):
    """Who may hold a study, each for himself."""

    LOG = "roster or chain"
    PAST = "the log lost what was met on it"
    OPERATOR = "a pause"
    SETUP = "task or data are not as they must be: finished work still goes out"


@dataclass(frozen=True, slots=True)
class Held:
    """Whether something keeps the site from working; `reason` is empty when not."""

    reason: str
    by: Holder = Holder.LOG


@dataclass(frozen=True, slots=True)
class Loading:
    """Whether task and data are still being loaded: nothing new is begun, finished work goes out."""

    loading: bool


@dataclass(frozen=True, slots=True)
class Leaving:
    """Whether the operator takes the site out: nothing new is begun, what is finished goes out and is settled."""

    leaving: bool


@dataclass(frozen=True, slots=True)
class Room:
    """Whether the outbox has room for one more update of this study; until it has, none is trained."""

    free: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: `wake_ms` of the core is due."""


Event = (
    Linked
    | Announced
    | LogRead
    | Fetched
    | FetchFailed
    | Evaluated
    | EvaluationFailed
    | Trained
    | TrainingFailed
    | AloneEnded
    | Sealed
    | SealFailed
    | Sent
    | SendFailed
    | ReceiptRead
    | Requested
    | Held
    | Loading
    | Leaving
    | Room
    | Tick
)
