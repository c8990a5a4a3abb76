"""A real participant meets awkward tables: held, mended, and no cell of them in log, state, metrics or report."""

import asyncio
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import pytest

from learning.entry import folder_digest
from ops.kafka import Broker
from ops.kafka.ports import free_ports
from participant.orders import order, resume
from schemas.plan import DataRule, TaskSpec
from tests.broker.federation import federation
from tests.broker.participants import Hospital, hospital, late_site, plan
from tests.participant.tables.awkward import TABLES, cells
from wardround.cli import main

pytestmark = pytest.mark.broker
FOLDER = Path(__file__).parents[1] / "participant" / "tables"
READ_AT_LAST = "the oldest, all ill"
TOLERATED = "a line of totals"  # one record of 21, where the plan allows a fifth


def held_times(at: Hospital, times: int) -> bool:
    return at.log.count("data are not loaded") >= times


def scraped(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return str(answer.read().decode())


async def test_awkward_tables_hold_a_study_until_one_is_right_and_no_cell_of_them_is_ever_told(
    kafka: Broker, tmp_path: Path
) -> None:
    task = TaskSpec("tests.participant.tables.task:task", folder_digest(FOLDER), ())
    agreed = plan(task=task, parameters=1, data=DataRule(0.2), evaluation={"every": 1})
    async with federation(kafka.bootstrap, tmp_path, agreed, 2) as fed, fed.coordinator():
        with hospital(fed, late_site(fed).name) as at:
            refused = [one for one in TABLES if one.rows is None and not one.share and one.name != TOLERATED]
            (port,) = free_ports(1)
            at.config.write_text(at.config.read_text().replace("port = 0", f"port = {port}"))
            right = next(one for one in TABLES if one.name == READ_AT_LAST)
            for tries, one in enumerate(refused, 1):
                (at.patients / "ward.csv").write_bytes(one.content)
                if tries == 1:
                    at.start()
                else:
                    await asyncio.to_thread(order, at.data, resume)
                await at.until(partial(held_times, at, tries), one.name)
            held = at.standing(fed.study).held
            (at.patients / "ward.csv").write_bytes(right.content)
            await asyncio.to_thread(order, at.data, resume)
            await fed.version(1)
            metrics = await asyncio.to_thread(scraped, port)
            report = tmp_path / "report.html"
            words = ["report", fed.study, "--broker", kafka.bootstrap, "--out", str(report)]
            assert await asyncio.to_thread(main, [*words, "--registrar", str(fed.folder / "registrar.pub")]) == 0
            told = at.log + held + (at.data / "state.json").read_text() + metrics + report.read_text()
            assert "records_set_aside" in metrics
            secret = set().union(*(cells(one) for one in [*refused, right]))
            assert {cell for cell in secret if cell in told} == set()
