"""A version leaves a real broker as a file: by the command, from Python, with a member's own key alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from learning.entry import folder_digest, task_folder
from learning.model_file import read_model
from ops.kafka import Broker
from schemas.errors import LocalError
from schemas.plan import TaskSpec
from tests.broker.federation import Federation as Small
from tests.broker.federation import federation, small_plan
from wardround import AsyncFederation
from wardround.cli import main

pytestmark = pytest.mark.broker

SMALL = "tests.wardround.tasks.small:task"


async def a_better_version(small: Small) -> None:
    """Version 1 of all sites' updates, which all judge better than version 0; version 2 tells so to everybody."""
    first = await small.version(0)
    for site in small.sites.values():
        await site.evaluate(first, 0.5)
        await site.offer(first, np.full(small.plan.parameters, 0.25, np.float32))
    second = await small.version(1)
    for site in small.sites.values():
        await site.evaluate(second, 0.75)
        await site.offer(second, np.zeros(small.plan.parameters, np.float32))
    await small.version(2)


async def test_a_member_exports_a_version_by_its_tasks_names_and_a_stranger_does_not(
    kafka: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = TaskSpec(SMALL, folder_digest(task_folder(SMALL)), ())
    plan = small_plan("exported", sites=3, parameters=3, task=spec)
    async with federation(kafka.bootstrap, tmp_path, plan, 3) as small, small.coordinator():
        await a_better_version(small)
        out = tmp_path / "made" / "best.safetensors"
        words = ["--broker", small.bootstrap, "--registrar", str(tmp_path / "registrar.pub"), "--member", "exported-0"]
        own, other = (["--open", str(tmp_path / f"exported-{number}.open")] for number in (0, 1))
        command = ["model", "export", "exported", *words, "--out", str(out)]
        assert await asyncio.to_thread(main, [*command, *own, "--best"]) == 0
        assert f"{out} written" in capsys.readouterr().out
        header, state = read_model(out)
        assert (header.version, header.value, header.judged_by, header.sites) == (1, 0.75, 3, tuple(small.sites))
        np.testing.assert_allclose(state["parameters"], 0.25, atol=1e-4)
        assert await asyncio.to_thread(main, [*command, *other]) == 2
        assert "was not given the key" in capsys.readouterr().err
        async with AsyncFederation(
            small.bootstrap,
            registrar_key=tmp_path / "registrar.pub",
            member="exported-1",
            opening_key=tmp_path / "exported-1.open",
        ) as seen:
            exported = await seen.export("exported", tmp_path / "one.safetensors", version=1)
            with pytest.raises(LocalError, match="has no version 7"):
                await seen.export("exported", tmp_path / "seven.safetensors", version=7)
    assert exported.header.sites == tuple(small.sites)
    assert not (tmp_path / "seven.safetensors").exists()


@pytest.mark.parametrize("words", [["model", "export", "lung"], ["model"], ["model", "show", "nothing.safetensors"]])
def test_what_is_missing_on_the_command_line_is_said(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(words)
    except SystemExit as ended:
        code = int(str(ended.code))
    assert code == 2
    assert "error" in capsys.readouterr().err
