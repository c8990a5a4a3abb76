"""A version computed again from the log, by somebody who trusts the registrar's key alone."""

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from audit.recompute import Audit, Auditor
from audit.strict_log import AuditLog, read_audit_log
from ops.kafka import Broker
from protocol.recompute import Recomputed, recompute
from protocol.sealing import OpenKey
from protocol.signing import SigningKey
from schemas.errors import LocalError, PeerError
from schemas.plan import Plan
from tests.broker.federation import Federation, federation, small_plan
from tests.protocol.step_digests import dispatched

pytestmark = pytest.mark.broker
in_one_loop = pytest.mark.asyncio(loop_scope="module")
VERSIONS = 2


async def play(one: Federation) -> None:
    """Two versions of updates from every site."""
    rng = np.random.default_rng(1)
    for number in range(VERSIONS):
        base = await one.version(number)
        for site in one.sites.values():
            await site.offer(base, rng.normal(0, 0.01, 300).astype(np.float32))
    await one.version(VERSIONS)


def audited_plan(server_optimiser: str = "average", versions_kept: int = 10) -> Plan:
    aggregation = {"server_optimiser": server_optimiser, "server_lr": 0.1 if server_optimiser == "adam" else 1.0}
    storage = {"versions_kept": versions_kept, "auditors": ("auditor",)}
    study = f"audit-{uuid.uuid4().hex[:12]}"
    return small_plan(study, sites=3, parameters=300, versions=VERSIONS, aggregation=aggregation, storage=storage)


@pytest_asyncio.fixture(params=["average", "adam"], scope="module", loop_scope="module")
async def finished(
    request: pytest.FixtureRequest, kafka: Broker, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Federation]:
    """A study of three sites that has ended, without its coordinator; `adam` keeps a state from version to version."""
    folder = tmp_path_factory.mktemp(request.param)
    async with federation(kafka.bootstrap, folder, audited_plan(request.param), 3) as one:
        async with one.coordinator():
            await play(one)
        yield one


async def check(
    one: Federation, version: int, *, key: str = "coordinator", registrar: SigningKey | None = None
) -> Audit:
    registrar = registrar or one.registrar
    auditor = Auditor(one.kafka, registrar.public, OpenKey.load(one.folder / f"{key}.open"))
    try:
        return await auditor.check(one.study, version)
    finally:
        await auditor.close()


@in_one_loop
async def test_every_version_comes_out_as_announced(finished: Federation) -> None:
    for version in range(1, VERSIONS + 1):
        found = await check(finished, version)
        assert found.differences == ()
        assert found.computed.model_digest == found.announced.model.digest
        assert np.array_equal(found.computed.model, await finished.model(found.announced))


@in_one_loop
async def test_an_auditor_of_the_plan_computes_the_same_as_the_coordinator(finished: Federation) -> None:
    for version in range(1, VERSIONS + 1):
        assert (await check(finished, version, key="auditor")).differences == ()


@in_one_loop
async def test_a_recomputation_without_the_cpus_features_and_in_another_order_gives_the_same_bytes(
    finished: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {version: (await check(finished, version)).computed.model_digest.hex() for version in (1, VERSIONS)}
    words = ["audit", "recompute", finished.study, "--key", str(finished.folder / "coordinator.open"), "--json"]
    words += ["--registrar", str(finished.folder / "registrar.pub"), "--broker", finished.bootstrap]
    plain = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(dispatched())}
    for version, digest in here.items():
        line = [sys.executable, "-m", "wardround", *words, "--version", str(version)]
        done = await asyncio.to_thread(subprocess.run, line, env=plain, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["model"] == digest

    def backwards(*arguments: Any) -> Recomputed:
        plan, request, contributions, *rest = arguments
        turned = [replace(one, chunks=reversed(list(one.chunks))) for one in reversed(list(contributions))]
        return recompute(plan, request, turned, *rest)

    monkeypatch.setattr("audit.recompute.recompute", backwards)
    assert (await check(finished, VERSIONS)).computed.model_digest.hex() == here[VERSIONS]


@in_one_loop
async def test_an_announcement_that_says_something_else_is_found_out(
    finished: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lying(*arguments: Any) -> AuditLog:
        log = await read_audit_log(*arguments)
        log.made[1] = replace(log.made[1], sum=bytes(32), model=replace(log.made[1].model, digest=bytes(32)))
        return log

    monkeypatch.setattr("audit.recompute.read_audit_log", lying)
    assert (await check(finished, 1)).differences == ("sum", "model")


@in_one_loop
async def test_version_0_and_versions_that_are_not_there_cannot_be_recomputed(finished: Federation) -> None:
    for version, why in ((0, "not the work of a cohort"), (VERSIONS + 1, f"not announced: the newest is {VERSIONS}")):
        with pytest.raises(LocalError, match=why) as caught:
            await check(finished, version)
        assert f"versions 1 to {VERSIONS} can" in caught.value.hint


@in_one_loop
async def test_a_sites_key_does_not_open_the_others_updates(finished: Federation) -> None:
    with pytest.raises(LocalError, match="does not open"):
        await check(finished, 1, key=next(iter(finished.sites)))


@in_one_loop
async def test_another_registrars_key_finds_no_study(finished: Federation) -> None:
    with pytest.raises((LocalError, PeerError)):
        await check(finished, 1, registrar=SigningKey.generate())


async def test_a_version_whose_base_is_no_longer_kept_says_so(kafka: Broker, tmp_path: Path) -> None:
    async with federation(kafka.bootstrap, tmp_path, audited_plan(versions_kept=2), 3) as one, one.coordinator():
        await play(one)
        hint = await one.until(lambda: _gone(one), "the trimming of version 0")
        assert "version 2 can while" in hint
        assert (await check(one, 2)).differences == ()


async def _gone(one: Federation) -> str | None:
    """What can still be done, once the audit of version 1 says that its bodies are gone."""
    try:
        await check(one, 1)
    except LocalError as error:
        return error.hint if "cannot be recomputed any more" in str(error) else None
    return None


def test_the_audit_never_loads_the_coordinator() -> None:
    words = "import sys, json, audit.recompute; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=60, check=True)
    assert not [name for name in json.loads(done.stdout) if name.split(".")[0] in ("coordinator", "torch")]
