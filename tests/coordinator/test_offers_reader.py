"""What the coordinator makes of records that its reader did not open."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from coordinator.shell.bookmarks import Bookmarks
from coordinator.shell.metrics import CoordinatorMetrics
from coordinator.shell.offers import OffersReader
from schemas import topics
from tests.schemas.plans import PLAN
from transport.link import Link
from transport.log import Entry
from transport.settings import KafkaSettings


@pytest.mark.parametrize("topic", [topics.offers("aachen"), topics.commands(PLAN.study)])
async def test_a_compressed_batch_is_counted_and_nobody_hears_of_it(topic: str) -> None:
    kafka, metrics, heard = KafkaSettings("127.0.0.1:1", "tests"), CoordinatorMetrics(), []

    async def hear(seen: object) -> None:
        heard.append(seen)

    services = cast(Any, SimpleNamespace(kafka=kafka, link=Link(kafka), metrics=metrics))
    reader = OffersReader(services, PLAN, Bookmarks(services, PLAN), hear)
    await reader._take(Entry(topic, 7, 0, None, b"", refused="compressed"))
    name, labels = "wardround_coordinator_records_refused_total", {"study": PLAN.study, "reason": "compressed"}
    assert metrics.registry.get_sample_value(name, labels) == 1
    assert heard == []
