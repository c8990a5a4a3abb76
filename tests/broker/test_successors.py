"""What a coordinator that died between two of its acts leaves undone, its successor does, by what stands on the log."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator.app import serve
from coordinator.shell.rounds import Rounds
from schemas import topics
from schemas.records import EpochKey, Signed
from tests.broker.federation import Federation, federation
from tests.broker.test_coordinator import all_offer, epoch_after, join, leave, plan, unit
from tests.schemas.plans import PLAN

pytestmark = pytest.mark.broker


async def holders(fed: Federation, epoch: int) -> set[str]:
    """Who was given the key of an epoch."""
    entries = await fed.read(topics.keys(fed.study))
    given = [EpochKey.from_bytes(Signed.from_bytes(entry.value or b"").payload) for entry in entries]
    return {one.member for one in given if one.epoch == epoch}


async def test_repro_who_joined_reads_the_newest_version_though_a_coordinator_died_between_keys_and_announcement(
    kafka: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed:
        leaver, stayer = fed.sites.values()
        async with fed.coordinator():
            await all_offer(fed, await fed.version(0))
            await fed.version(1)
        joiner = await join(fed, f"{fed.study}-late")
        await leave(fed, leaver.name)

        async def dies(*_: object) -> None:
            raise RuntimeError("killed")

        with monkeypatch.context() as patch:
            patch.setattr(Rounds, "announce_one", dies)
            with pytest.raises(ExceptionGroup):
                await serve(fed.settings())
        assert await holders(fed, 1) == {"coordinator", stayer.name, joiner.name}
        assert (await fed.announcements())[-1].key_epoch == 0
        async with fed.coordinator():
            repeated = await fed.until(lambda: epoch_after(fed, 1), "the newest version under the new key")
            np.testing.assert_array_equal(await joiner.fetch(repeated), await stayer.fetch(repeated))
            await stayer.offer(repeated, unit(1))
            await joiner.offer(repeated, unit(2))
            await fed.version(2)
        async with fed.coordinator():
            await stayer.offer(await fed.version(2), unit(1))
            await joiner.offer(await fed.version(2), unit(2))
            await fed.version(3)
        assert [(one.version, one.key_epoch) for one in await fed.announcements()] == [
            (0, 0),
            (1, 0),
            (1, 1),
            (2, 1),
            (3, 1),
        ]


async def test_old_versions_leave_the_log_also_where_no_coordinator_lives_for_long(kafka: Any, tmp_path: Path) -> None:
    few = replace(PLAN.storage, versions_kept=2)
    async with federation(kafka.bootstrap, tmp_path, plan(storage=few), 2) as fed:
        for version in range(4):
            async with fed.coordinator():
                await all_offer(fed, await fed.version(version))
                await fed.version(version + 1)
        before = (await fed.announcements())[-2]

        async def trimmed() -> bool | None:
            first = (await fed.read(topics.models(fed.study)))[0].offset
            model = before.model.body.runs[0][0]
            return True if 0 < first <= model and model - first <= 2 else None

        async with fed.coordinator():
            await fed.until(trimmed, "the end of old versions")
            await all_offer(fed, await fed.version(4))
            await fed.version(5)
