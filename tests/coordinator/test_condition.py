"""Every way in which a study can stop has a name and says what to do."""

import asyncio
import contextlib
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaStorageError, NotLeaderForPartitionError

from coordinator.shell import leading
from coordinator.shell.condition import ALL, RUNS, condition_of
from coordinator.shell.metrics import CoordinatorMetrics
from schemas.errors import FederationError, LocalError, PeerError
from tests.schemas.plans import PLAN
from transport.errors import BodyGone, LogReset, LogUndecided, TopicMissing
from transport.staying.quiet import OncePerPeriod, on_produce_error


@pytest.mark.parametrize(
    ("error", "name", "stands"),
    [
        (PeerError("x", code="forked"), "forked", True),
        (PeerError("x", code="lost"), "log-lost", True),
        (LogReset("x"), "log-lost", True),
        (PeerError("x", code="stranger"), "log-unreadable", True),
        (TopicMissing(["x"], "b:1"), "topic-missing", False),
        (BodyGone("wardround.study.lung.models", 3), "body-gone", False),
        (LogUndecided(["wardround.study.lung.rounds"]), "log-undecided", False),
        (LocalError("x"), "local-trouble", False),
        (OSError(28, "No space left on device"), "local-trouble", False),
    ],
)
def test_what_ends_a_study_has_one_name(error: FederationError | OSError, name: str, stands: bool) -> None:
    found = condition_of(error)
    assert (found.name, found.stands) == (name, stands)
    assert found in ALL


def test_every_condition_but_the_good_one_says_what_to_do() -> None:
    assert len({one.name for one in ALL}) == len(ALL)
    assert all(bool(one.to_do) == (one is not RUNS) for one in ALL)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (LocalError("the broker refuses access", hint="have the right granted"), "have the right granted"),
        (OSError(28, "No space left on device"), "/models: No space left on device; free space"),
    ],
)
async def test_what_an_error_itself_says_to_do_is_said_and_where_a_disk_is_full(
    error: Exception, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Refused:
        def __init__(self, *_: object) -> None:
            pass

        async def run(self) -> None:
            raise error

    async def confirmed() -> None:
        pass

    monkeypatch.setattr(leading, "StudyRunner", Refused)
    services = cast(Any, SimpleNamespace(metrics=CoordinatorMetrics(), folder=Path("/models")))
    partition = leading.LeadPartition(services, 0, confirmed)
    running = asyncio.create_task(partition._run(services, PLAN, cast(Any, None)))
    await asyncio.sleep(0.05)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    said = capsys.readouterr().out
    assert "local-trouble" in said
    assert told in said


def test_a_full_broker_disk_is_counted_by_name_although_the_client_tries_again_in_silence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    counted: list[str] = []
    on_produce_error(counted.append)
    message = "Got error produce response on topic-partition %s, retrying. Error: %s"
    for error in (KafkaStorageError, KafkaStorageError, NotLeaderForPartitionError):
        told = logging.LogRecord("aiokafka", logging.WARNING, "", 0, message, ("topic", error), None)
        assert not OncePerPeriod().filter(told)
    assert counted == ["KafkaStorageError", "KafkaStorageError", "NotLeaderForPartitionError"]
    assert capsys.readouterr().out.count("cannot store records; free its disk") == 1
