"""Awkward tables through a real trainer and a site's setup: read right or refused with the way out, no cell told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from learning.entry import folder_digest
from participant.core.approvals import Approvals
from participant.core.space import OutboxSpace
from participant.settings import Study
from participant.shell.metrics import ParticipantMetrics
from participant.shell.setup import Setup
from participant.training.client import Trainer
from participant.training.errors import LoadError
from participant.training.launch import Launcher
from schemas.plan import DataRule, Plan, TaskSpec
from tests.participant.driving import plan
from tests.participant.tables.awkward import GOOD, NAMED, TABLES, Awkward, cells

ENTRY = "tests.participant.tables.task:task"
CODE = folder_digest(Path(__file__).parent / "tables")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trainer() -> AsyncIterator[Trainer]:
    """One for all tables of this file: what one of them breaks, the next one finds broken."""
    one = Trainer(Launcher(None, []))
    yield one
    one.close()


class Site:
    """A site's setup over a real trainer; `told` is everything that left it."""

    def __init__(self, trainer: Trainer, folder: Path, options: dict[str, str], share: float) -> None:
        self.metrics, self.held = ParticipantMetrics(), list[str]()
        self._logs: list[Any] = []
        store = SimpleNamespace(rows=lambda study: [])
        services = SimpleNamespace(
            name="site-1", trainer=trainer, store=store, metrics=self.metrics, space=OutboxSpace(1 << 30)
        )
        study = Study("00" * 32, data=folder, options=options)
        self._setup = Setup(
            cast(Any, services), _plan(share), study, Approvals(frozenset()), only=False, jitter=lambda: 1e6
        )

    async def load(self) -> int | None:
        """How many records were kept; None when the study is held."""
        told = asyncio.Event()

        def hold(error: LoadError) -> None:
            self.held.append(f"{error} {error.hint}")
            told.set()

        with capture_logs() as self._logs:
            loading = asyncio.create_task(self._setup.ready(hold))
            waiting = asyncio.create_task(told.wait())
            await asyncio.wait({loading, waiting}, return_when=asyncio.FIRST_COMPLETED)
            for one in (loading, waiting):
                one.cancel()
            await asyncio.gather(loading, waiting, return_exceptions=True)
        if self.held:
            return None
        loaded = loading.result().loaded
        return loaded.records - loaded.bad_records

    @property
    def told(self) -> str:
        return f"{self.held} {self._logs} {generate_latest(self.metrics.registry).decode()}"


def _plan(share: float) -> Plan:
    return plan(task=TaskSpec(ENTRY, CODE, ()), parameters=1, data=DataRule(share))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("one", TABLES, ids=[one.name for one in TABLES])
async def test_a_table_is_read_right_or_refused_with_the_way_out_and_no_cell_of_it_is_told(
    trainer: Trainer, tmp_path: Path, one: Awkward
) -> None:
    (tmp_path / "ward.csv").write_bytes(one.content)
    site = Site(trainer, tmp_path, dict(one.options), one.share)
    assert await site.load() == one.rows, site.told
    if one.rows is None:
        assert one.said in site.held[0]
    assert {cell for cell in cells(one) if cell in site.told} == set()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_site_is_told_when_bad_records_are_all_of_one_label(trainer: Trainer, tmp_path: Path) -> None:
    one = next(one for one in TABLES if one.name == "the oldest, all ill")
    (tmp_path / "ward.csv").write_bytes(one.content)
    site = Site(trainer, tmp_path, {}, one.share)
    await site.load()
    assert "'label': '1', 'set_aside': 4, 'of': 14" in site.told
    assert "mostly of one label" in site.told


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("way", ["float", "open", "key", "raise"])
async def test_an_error_of_the_tasks_own_code_names_its_line_and_no_cell(
    trainer: Trainer, tmp_path: Path, way: str
) -> None:
    (tmp_path / "ward.csv").write_text(NAMED)
    site = Site(trainer, tmp_path, {"way": way}, 0.0)
    assert await site.load() is None
    assert "task.py, line " in site.held[0]
    assert f"in _{way}" in site.held[0] or way == "raise"
    assert not {cell for cell in cells(Awkward("", NAMED.encode())) if cell in site.told}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_load_that_returns_nonsense_is_said_and_not_shown(trainer: Trainer, tmp_path: Path) -> None:
    (tmp_path / "ward.csv").write_text(GOOD)
    site = Site(trainer, tmp_path, {"way": "nonsense"}, 0.0)
    assert await site.load() is None
    assert "the task's load returned a dict" in site.held[0]
    assert "PXQ" not in site.told


@pytest.mark.asyncio(loop_scope="module")
async def test_a_task_written_before_contracts_read_tables_reads_on(trainer: Trainer, tmp_path: Path) -> None:
    (tmp_path / "ward.csv").write_text(GOOD)
    assert await Site(trainer, tmp_path, {"way": "old"}, 0.0).load() == 20


@pytest.mark.asyncio(loop_scope="module")
async def test_a_table_of_more_broken_columns_than_anybody_reads_is_told_by_the_worst(
    trainer: Trainer, tmp_path: Path
) -> None:
    columns = 1200
    header = ",".join(["patient,age,sex,ill", *(f"gene{n}" for n in range(columns))])
    row = ",".join(["PXQ1,50,F,1", *["0.5"] * columns])
    broken = ",".join(["PXQ2,50,F,1", *["unknown"] * columns])
    (tmp_path / "ward.csv").write_text("\n".join([header, *[row] * 9, broken]))
    site = Site(trainer, tmp_path, {"genes": str(columns)}, 0.2)
    assert await site.load() == 9
    assert "unknown" not in site.told
