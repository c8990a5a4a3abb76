"""What every job of the shell is: it does one effect of its core, and returns the fact that its core is told.

Knows:    a job that is cancelled leaves nothing half: nobody hears of it any more.
Never:    decides whether it is done, or what follows.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum, auto
from typing import IO, Any, ClassVar

from participant.core.effects import Effect
from participant.core.events import Event
from participant.shell.failures import Failures
from participant.shell.follow import StudyLog
from participant.shell.models import Models
from participant.shell.outgoing import Outgoing
from participant.shell.services import Services
from schemas.plan import Plan


@dataclass(slots=True)
class Means:
    """What the jobs of one study work with. `update`: trained and not sealed yet; a file without a name."""

    services: Services
    plan: Plan
    log: StudyLog
    out: Outgoing
    models: Models
    failures: Failures
    training: dict[str, Any]  # the plan's [training], as the trainer takes it
    update: IO[bytes] | None = None

    @property
    def silence_s(self) -> float:
        """How long the trainer may give no sign."""
        return float(self.plan.training.progress_limit_s)

    def digest(self, version: int) -> bytes:
        """Of a version's model, as it was announced."""
        digest = self.log.view.model_digest(version)
        assert digest is not None
        return digest

    def named(self, sequence: int) -> str:
        """An update, for logs."""
        return f"{self.plan.study}/{self.services.name}/{sequence}"


class Slot(Enum):
    """What is stopped on its own; one job at a time in each."""

    FETCH = auto()
    TRAINER = auto()
    SEND = auto()
    NONE = auto()  # short, and never stopped


class Job(ABC):
    """One kind of effect."""

    slot: ClassVar[Slot] = Slot.TRAINER

    def __init__(self, means: Means) -> None:
        self._means = means

    @abstractmethod
    async def do(self, effect: Effect) -> Event | None:
        """Do it; what is expected to fail becomes a fact, every other error ends the service. None: nothing to tell."""
