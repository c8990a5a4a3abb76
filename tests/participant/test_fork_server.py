"""The fork server: trainers from one process, and whoever is killed, the others go on."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from participant.training.client import Trainer
from participant.training.launch import Launcher, TrainerLostError
from tests.participant.test_trainer import ENTRY, _gone, load, participant_with

MODULE = ENTRY.partition(":")[0]


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Where the server listens; whichever runs there at the end is ended."""
    path = tmp_path / "fork.sock"
    yield path
    if (pid := server_pid(path)) is not None:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return


@pytest_asyncio.fixture
async def trainers(path: Path) -> AsyncIterator[list[Trainer]]:
    trainers = [Trainer(Launcher(path, [MODULE])) for _ in range(2)]
    yield trainers
    for trainer in trainers:
        trainer.close()


def server_pid(path: Path) -> int | None:
    lock = Path(f"{path}.lock")
    return int(lock.read_text()) if lock.exists() and lock.read_text() else None


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def test_participants_that_find_no_server_start_one_for_all(path: Path, trainers: list[Trainer]) -> None:
    await asyncio.gather(*(trainer.load(load()) for trainer in trainers))
    pids = {trainer.pid for trainer in trainers}
    assert len(pids) == 2
    assert {parent_of(parent_of(pid)) for pid in pids if pid} == {server_pid(path)}  # each has a warden in between


async def test_a_killed_server_leaves_its_trainers_working_and_is_started_again(
    path: Path, trainers: list[Trainer]
) -> None:
    first, second = trainers
    await first.load(load())
    server = server_pid(path)
    assert server is not None
    os.kill(server, signal.SIGKILL)
    await _gone(server)
    assert (await first.load(load())).examples == 12
    await second.load(load())
    assert server_pid(path) != server


async def test_a_killed_trainer_is_replaced_by_the_same_server(path: Path, trainers: list[Trainer]) -> None:
    trainer = trainers[0]
    await trainer.load(load())
    server, first = server_pid(path), trainer.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    with pytest.raises(TrainerLostError):
        await trainer.load(load())
    await trainer.load(load())
    assert trainer.pid != first
    assert server_pid(path) == server


async def test_a_socket_that_nobody_serves_is_replaced(path: Path, trainers: list[Trainer]) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    assert (await trainers[0].load(load())).parameters == 2


async def test_a_second_server_for_the_same_socket_ends_at_once(path: Path, trainers: list[Trainer]) -> None:
    await trainers[0].load(load())
    command = [sys.executable, "-m", "participant.training.fork_server", "--socket", str(path)]
    second = await asyncio.to_thread(subprocess.run, command, timeout=30, check=False)
    assert second.returncode == 0
    assert (await trainers[1].load(load())).parameters == 2


async def test_server_and_trainer_end_when_the_participant_that_started_them_is_killed(path: Path) -> None:
    with participant_with(f"pathlib.Path({str(path)!r}), [{MODULE!r}]") as (participant, trainer):
        server = server_pid(path)
        participant.kill()
    assert server is not None
    await _gone(trainer)
    await _gone(server)
    assert not path.exists()


@pytest.mark.parametrize("forked", [False, True])
async def test_a_task_in_a_folder_works_wherever_the_service_was_started(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch, *, forked: bool
) -> None:
    from learning.entry import folder_digest
    from participant.training.client import Load

    here, package = tmp_path / "Süd und (Nord)", tmp_path / "Köln 1" / "own_task"
    (here / "learning").mkdir(parents=True)
    (here / "learning" / "__init__.py").write_text("raise RuntimeError('a stranger')\n")
    package.mkdir(parents=True)
    (package / "task.py").write_text((Path(__file__).parent / "tiny" / "task.py").read_text())
    monkeypatch.chdir(here)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    trainer = Trainer(Launcher(path if forked else None, ["own_task.task"], [package.parent]))
    try:
        wanted = Load("demo", "own_task.task:task", folder_digest(package), "site-1", None, {}, place=package.parent)
        assert (await trainer.load(wanted)).parameters == 2
    finally:
        trainer.close()


async def test_a_server_runs_no_line_of_a_task_and_its_trainers_run_what_is_approved_now(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "changing"
    package.mkdir()
    source = (Path(__file__).parent / "tiny" / "task.py").read_text()
    (package / "task.py").write_text(f"raise SystemExit('this is not approved')\n{source}")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{Path.cwd()}")
    from learning.entry import folder_digest
    from participant.training.client import Load

    trainer = Trainer(Launcher(path, ["changing.task"]))
    try:
        await trainer.prepare()
        (package / "task.py").write_text(source)
        changed = Load("demo", "changing.task:task", folder_digest(package), "site-1", None, {})
        assert (await trainer.load(changed)).parameters == 2
    finally:
        trainer.close()


async def test_what_tasks_need_of_libraries_is_shared_by_all_trainers(path: Path) -> None:
    trainer = Trainer(Launcher(path, ["studies.linear_regression.task"]))
    try:
        await trainer.prepare()
        libraries = await asyncio.to_thread(Path(f"/proc/{server_pid(path)}/maps").read_text)
        assert "numpy" in libraries
        assert "torch" not in libraries
    finally:
        trainer.close()
