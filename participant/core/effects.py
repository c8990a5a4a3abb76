"""What a study's core wants done; the shell does it and reports back by events."""

from dataclasses import dataclass
from enum import StrEnum

from participant.core.stage import Fate


class State(StrEnum):
    """What a site does in a study; AWAY never leaves the site, everything else is told by Presence."""

    AWAY = "away"
    IDLE = "idle"
    FETCHING = "fetching"
    TRAINING = "training"
    SENDING = "sending"
    WAITING = "waiting"
    PAUSED = "paused"
    LOADING = "loading"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Fetch:
    """Fetch and verify the body of `version`."""

    version: int


@dataclass(frozen=True, slots=True)
class StopFetching:
    """Drop the fetch of `version`; nothing will be heard of it."""

    version: int


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Measure `version` on the test patients and send what policy allows."""

    version: int


@dataclass(frozen=True, slots=True)
class Train:
    """Train from `base_version`; `attempt` counts from 0 and salts the seed."""

    base_version: int
    attempt: int


@dataclass(frozen=True, slots=True)
class RunAlone:
    """Train and measure the model that this site's patients give alone."""


@dataclass(frozen=True, slots=True)
class StopWork:
    """Stop what the trainer does for this study; nothing will be heard of it."""


@dataclass(frozen=True, slots=True)
class Seal:
    """Encode and seal the update from `base_version` and put it into the outbox.

    stands_for   so many versions, where the plan weighs absence; see participant.core.absence
    """

    base_version: int
    stands_for: float


@dataclass(frozen=True, slots=True)
class Send:
    """Upload the body of `sequence` and offer it; `anew`: what was acknowledged before is gone."""

    sequence: int
    anew: bool


@dataclass(frozen=True, slots=True)
class StopSending:
    """Drop the upload of `sequence`; nothing will be heard of it."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Settle:
    """Take `sequence` out of the outbox: it is decided, or can never count any more.

    again   whether its base version may be trained from once more
    """

    sequence: int
    fate: Fate
    again: bool = False
    code: str | None = None
    version: int | None = None
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Show:
    """The state to tell others."""

    state: State


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something on the log that must not be, or (`fails`) work that does not come off: tell the operator, go on."""

    message: str
    fails: bool = False


@dataclass(frozen=True, slots=True)
class Halt:
    """End the service: going on would do harm."""

    message: str
    hint: str


Effect = (
    Fetch
    | StopFetching
    | Evaluate
    | Train
    | RunAlone
    | StopWork
    | Seal
    | Send
    | StopSending
    | Settle
    | Show
    | Alarm
    | Halt
)
