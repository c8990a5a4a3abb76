"""What the coordinator makes of records that its reader did not open."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from coordinator.shell.bookmarks import Bookmarks
from coordinator.shell.metrics import CoordinatorMetrics
from coordinator.shell.offers import OffersReader
from schemas import topics
from tests.schemas.plans import PLAN
from transport.connection import Connection
from transport.reading.log import Entry
from transport.settings import KafkaSettings
from transport.staying.link import Link


@pytest.mark.parametrize(("topic", "site"), [(topics.offers("aachen"), "aachen"), (topics.commands(PLAN.study), "")])
async def test_a_compressed_batch_is_counted_and_nobody_hears_of_it(topic: str, site: str) -> None:
    kafka, metrics, heard = KafkaSettings("127.0.0.1:1", "tests"), CoordinatorMetrics(), []

    async def hear(seen: object) -> None:
        heard.append(seen)

    services = cast(Any, SimpleNamespace(connection=Connection(kafka, Link(kafka)), metrics=metrics))
    reader = OffersReader(services, PLAN, Bookmarks(services, PLAN), hear)
    await reader._take(Entry(topic, 7, 0, None, b"", refused="compressed"))
    name = "wardround_coordinator_records_refused_total"
    labels = {"study": PLAN.study, "site": site, "reason": "compressed"}
    assert metrics.registry.get_sample_value(name, labels) == 1
    assert heard == []


async def test_a_site_without_topics_is_said_once_with_its_study_and_once_more_when_it_has_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kafka, metrics, there = KafkaSettings("127.0.0.1:1", "tests"), CoordinatorMetrics(), set[str]()

    async def existing(topics: object) -> set[str]:
        return set(there)

    async def nothing(*of: object) -> None: ...

    services = cast(
        Any,
        SimpleNamespace(
            connection=Connection(kafka, Link(kafka)),
            metrics=metrics,
            admin=SimpleNamespace(existing=existing),
            membership=SimpleNamespace(sites=lambda study: ("aachen", "bonn")),
        ),
    )
    reader = OffersReader(services, PLAN, Bookmarks(services, PLAN), nothing)
    monkeypatch.setattr(reader, "_assign", nothing)
    with capture_logs() as lines:
        for now in ({topics.offers("bonn")}, {topics.offers("bonn")}, {topics.offers("aachen"), topics.offers("bonn")}):
            there = now
            await reader._look()
    assert [(line["log_level"], line["site"], line["study"]) for line in lines] == [
        ("error", "aachen", PLAN.study),
        ("info", "aachen", PLAN.study),
    ]
