"""The textbook case over a real broker by real processes: every version equals its closed form, whoever is killed."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from ops.kafka import Broker
from registry.plans.authoring import AuthoredPlan, author_plan
from schemas.records import Outcome
from studies.linear_regression.closed import closed_versions, pooled_descent
from studies.linear_regression.task import SAMPLES, points
from tests.broker.services import Services, services

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]
STUDY = Path("studies/linear_regression")
LEARNING_RATE = 0.01


def authored(kind: str, folder: Path, *, sites: list[str], versions: int, absence_cap: int = 1) -> AuthoredPlan:
    """The study's own plan for some of its sites, every version kept for the comparison."""
    lines = []
    inside = False
    for line in (STUDY / f"plan_{kind}.toml").read_text().splitlines():
        inside = inside or line.startswith("sites")
        name = line.split("=")[0].strip()
        if name in ("goal", "minimum", "cohort_min"):
            line = f"{name} = {len(sites)}"
        elif name == "versions":
            line = f"versions = {versions}"
        if not inside:
            lines.append(line)
            lines += [f"absence_cap = {absence_cap}"] if line.strip() == "[aggregation]" else []
        elif line.strip().endswith("]"):
            inside = False
            lines.append(f"sites = [{', '.join(repr(site) for site in sites)}]")
    path = folder / "plan.toml"
    path.write_text("\n".join(lines) + f"\n[storage]\nversions_kept = {versions + 1}\n")
    return author_plan(path)


async def check_every_version(running: Services, sites: list[str], versions: int, *, weighted: bool) -> None:
    made = await running.models()
    data = [points(site) for site in sites]
    closed = closed_versions(data, versions=versions, learning_rate=LEARNING_RATE, weighted=weighted)
    assert sorted(made) == list(range(versions + 1))
    for version, model in made.items():
        np.testing.assert_allclose(model, closed[version], atol=1e-5, rtol=0)
    if weighted:
        pooled = pooled_descent(data, versions=versions, learning_rate=LEARNING_RATE)
        np.testing.assert_allclose(made[versions], pooled[versions], atol=1e-5, rtol=0)


async def check_each_update_counted_once(running: Services, versions: int) -> None:
    _, requests = await running.rounds()
    named = [(entry.site, entry.sequence) for request in requests for entry in request.entries]
    assert len(named) == len(set(named)) == versions * running.plan.aggregation.goal
    for receipt in (await running.receipts()).values():
        assert {past.outcome for past in receipt.recent} <= {Outcome.COUNTED, Outcome.REFUSED}


@pytest.mark.parametrize("kind", ["plain", "weighted"])
async def test_a_hundred_versions_over_the_broker_equal_the_closed_form(
    kafka: Broker, tmp_path: Path, kind: str
) -> None:
    sites = list(SAMPLES)
    plan = authored(kind, tmp_path, sites=sites, versions=100)
    async with services(kafka, tmp_path / "out", plan, sites) as running:
        await running.version(100)
        await check_every_version(running, sites, 100, weighted=kind == "weighted")
        await check_each_update_counted_once(running, 100)


async def test_weighing_absence_changes_nothing_where_nobody_is_ever_absent(
    mortal_kafka: Broker, tmp_path: Path
) -> None:
    """Each update then stands for one version: a quarter travels, the server's rate makes it whole again."""
    sites = list(SAMPLES)[:3]
    plan = authored("plain", tmp_path, sites=sites, versions=12, absence_cap=4)
    assert plan.plan.aggregation.absence_cap == plan.plan.aggregation.server_lr == 4
    async with services(mortal_kafka, tmp_path / "out", plan, sites) as running:
        await running.version(12)
        await check_every_version(running, sites, 12, weighted=False)


async def test_whichever_process_is_killed_each_update_counts_once_and_the_study_ends(
    mortal_kafka: Broker, tmp_path: Path
) -> None:
    sites, versions = list(SAMPLES)[:3], 60
    plan = authored("plain", tmp_path, sites=sites, versions=versions)
    async with services(mortal_kafka, tmp_path / "out", plan, sites) as running:
        for step, victim in enumerate(["coordinator", sites[0], "trainers", "broker", "fork server", "coordinator"]):
            await running.version(5 + 8 * step)
            await kill(running, mortal_kafka, victim)
        await running.version(versions)
        await check_every_version(running, sites, versions, weighted=False)
        await check_each_update_counted_once(running, versions)


async def kill(running: Services, broker: Broker, victim: str) -> None:
    if victim == "broker":
        broker.kill()
        await asyncio.to_thread(broker.launch)
        await asyncio.to_thread(broker.wait_ready)
    elif victim in ("trainers", "fork server"):
        assert running.kill_trainers(fork_server=victim == "fork server") > 0
    else:
        running.kill(victim)
