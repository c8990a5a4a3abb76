"""A short round of faults against the real thing: whatever is killed, stopped or cut off, the books balance."""

from pathlib import Path

import pytest

from tests.faults.run import run
from tests.faults.schedule import Act, Role
from tests.faults.stage import Round

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]


async def test_after_three_minutes_of_faults_every_update_is_accounted_for_and_every_model_is_the_logs(
    tmp_path: Path,
) -> None:
    result = await run(Round(seed=20261, duration_s=180.0, sites=6), tmp_path / "faults")
    assert result.failures == [], result.text()
    assert result.balance.fates["counted"] > 0
    assert result.models.recomputed == len(result.announced_ms) > 0
    for role in (Role.BROKER, Role.COORDINATOR, Role.PARTICIPANT, Role.TRAINER, Role.FORK_SERVER):
        assert result.acts.done[role, Act.KILL] > 0
