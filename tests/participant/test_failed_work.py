"""What the service makes of work that failed: said, counted, and left to its core to try again, never held for ever."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from participant.shell.failures import Failures
from participant.shell.metrics import ParticipantMetrics
from participant.training.errors import TrainerRefusedError
from participant.training.launch import TrainerLostError
from participant.training.reasons import Reason
from schemas.errors import LocalError
from tests.schemas.plans import PLAN
from transport.errors import TopicMissing


class House:
    """What a study's failures are told to."""

    def __init__(self) -> None:
        self.metrics, self.told = ParticipantMetrics(), list[LocalError]()
        services = cast(Any, SimpleNamespace(metrics=self.metrics, folder=Path("/data")))
        self.failures = Failures(services, PLAN, load_again=self.told.append, hold=self.told.append)

    def counted(self, reason: str) -> float:
        return float(self.metrics.trainings_failed.labels(PLAN.study, reason)._value.get())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (LocalError("the task returned float64 (3,), expected float32 (2,)", hint="ask its author"), "setup"),
        (TrainerRefusedError(Reason.TASK, "ValueError in task.py, line 3"), "task"),
        (TrainerLostError("the trainer gave no sign for 60 s and was killed", reason=Reason.HUNG), "hung"),
        (TopicMissing(["wardround.bodies.site-1"], "broker:9092", wanted="write"), "topic"),
        (OSError(28, "No space left on device"), "disk"),
    ],
    ids=["wrong shape", "the task's own error", "hung", "a missing topic", "a full disk"],
)
def test_failed_work_is_said_and_counted_by_its_reason_and_holds_nothing(error: Exception, reason: str) -> None:
    house = House()
    with capture_logs() as lines:
        house.failures.say("training failed", error, version=3)
    assert house.told == []
    assert house.counted(reason) == 1
    assert [(line["event"], line["kind"], line["version"]) for line in lines] == [("training failed", reason, 3)]
    assert str(error).split("; ")[0][:20] in lines[0]["reason"] or "space" in lines[0]["reason"]
    assert lines[0].get("hint", "") == getattr(error, "hint", "")
