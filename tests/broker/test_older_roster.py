"""The topic of members replaced by its own older copy, as whoever runs the broker could do: nobody believes it."""

from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from ops.kafka import Broker
from registry.registrar import Registrar
from schemas import topics
from schemas.errors import LocalError
from tests.broker.conftest import delete_topics, make_topics
from tests.broker.federation import Federation as Small
from tests.broker.federation import federation, small_plan
from wardround import AsyncFederation

pytestmark = pytest.mark.broker


async def met(small: Small, serial: int) -> bool | None:
    """Whether the coordinator has met this roster; None: not yet."""
    path = small.folder / "coordinator" / "roster.met"
    return True if path.exists() and path.read_text().split()[1] == str(serial) else None


async def put_back(small: Small, records: int) -> None:
    """The topic of members holds its first records alone."""
    entries = await small.read(topics.MEMBERS)
    await delete_topics(small.kafka, topics.MEMBERS)
    await make_topics(small.kafka, topics.MEMBERS)
    for entry in entries[:records]:
        await small.writer.send(topics.MEMBERS, entry.value or b"", entry.key)


async def test_a_coordinator_holds_before_an_older_roster_and_goes_on_with_a_newer_one(
    kafka: Broker, tmp_path: Path
) -> None:
    async with federation(kafka.bootstrap, tmp_path, small_plan("older-roster", sites=2), 2) as small:
        old = len(await small.read(topics.MEMBERS))
        async with Registrar(small.kafka, small.registrar) as office:
            await office.publish_roster(restore=True)
        async with small.coordinator():
            first = await small.version(0)

            async def remembered() -> bool | None:
                return await met(small, 2)

            await small.until(remembered, "the second roster to be met")
        reader = AsyncFederation(
            kafka.bootstrap, registrar_key=tmp_path / "registrar.pub", opening_key=tmp_path / "coordinator.open"
        )
        await reader.history("older-roster")
        await put_back(small, old)
        for site in small.sites.values():
            await site.offer(first, np.full(small.plan.parameters, 0.25, np.float32))
        with capture_logs() as lines:
            async with small.coordinator():

                async def said() -> bool | None:
                    return True if any("older than what was met" in line["event"] for line in lines) else None

                await small.until(said, "word of the older roster")
                assert len(await small.announcements()) == 1
                with pytest.raises(LocalError, match="serial 1, serial 2 was met here before"):
                    await reader.history("older-roster")
                async with Registrar(small.kafka, small.registrar) as office:
                    await office.publish_roster(restore=True)
                    await office.publish_roster(restore=True)
                await small.version(1)
