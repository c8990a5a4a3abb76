"""Work that failed: said, counted by its reason, and left to its core to try again. Nothing is held for it for ever."""

import sqlite3
from collections.abc import Callable

import structlog

from participant.shell import database
from participant.shell.services import Services
from participant.training.errors import LoadError, TrainerRefusedError
from participant.training.launch import TrainerLostError
from participant.training.reasons import Reason
from runtime.disk import in_words
from schemas.errors import LocalError
from schemas.plan import Plan
from transport.errors import TopicMissing

log = structlog.get_logger()


class Failures:
    """Of one study.

    load_again   hears of task or data that a new trainer cannot load, in the midst of the study
    hold         hears of what only a person can mend
    """

    def __init__(
        self,
        services: Services,
        plan: Plan,
        *,
        load_again: Callable[[LoadError], None],
        hold: Callable[[LocalError], None],
    ) -> None:
        self._services, self._plan, self._load_again, self._hold = services, plan, load_again, hold

    def say(self, what: str, error: Exception, version: int | None) -> None:
        """Report and count it; its core has it tried again."""
        if isinstance(error, LoadError):
            self._load_again(error)
            return
        reason, hint = _reason(error), getattr(error, "hint", "")
        self._services.metrics.trainings_failed.labels(self._plan.study, reason).inc()
        told = {"version": version, "kind": reason.value, "reason": self.words(error)} | (
            {"hint": hint} if hint else {}
        )
        log.warning(what, study=self._plan.study, **told)

    def hold(self, error: LocalError) -> None:
        """Nothing new is begun in this study until a person has mended it."""
        log.error("study held", study=self._plan.study, reason=str(error), hint=error.hint)
        self._hold(error)

    def words(self, error: Exception) -> str:
        """What an operator reads."""
        if not isinstance(error, sqlite3.Error):
            return in_words(error, self._services.folder)
        return f"{database.in_words(error, self._services.store.path)}; {database.hint_of(error)}"


def took_ms(error: Exception) -> int:
    """How long the trainer was busy with what failed."""
    return round(1000 * error.took_s) if isinstance(error, TrainerLostError | TrainerRefusedError) else 0


def _reason(error: Exception) -> Reason:
    match error:
        case TrainerRefusedError() | TrainerLostError():
            return error.reason
        case TopicMissing():
            return Reason.TOPIC
        case LocalError():
            return Reason.SETUP
        case _:
            return Reason.DISK
