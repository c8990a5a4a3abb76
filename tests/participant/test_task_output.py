"""What a task prints: at the site, bounded, and never in the participant's log."""

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from participant.training.client import Trainer
from participant.training.launch import Launcher
from participant.training.output import BYTES_MAX, PERIOD_BYTES_MAX, PERIOD_S, TaskOutput
from tests.participant.test_fork_server import path as path  # a fixture
from tests.participant.test_trainer import ENTRY, load
from tests.participant.tiny.task import SECRET


async def printed(folder: Path, server: Path | None, site: str) -> tuple[bytes, Counter[str]]:
    """What lies in the file after a trainer has loaded a task that prints, and how many bytes were kept or left out."""
    counted: Counter[str] = Counter()
    output = TaskOutput(folder / "task.log", on_bytes=lambda fate, count: counted.update({fate: count}))
    trainer = Trainer(Launcher(server, [ENTRY.partition(":")[0]], output=output))
    try:
        await trainer.load(load(site))
        for _ in range(200):
            if counted.total() and output.path.read_bytes().count(b"child") == 2:
                break
            await asyncio.sleep(0.02)
    finally:
        trainer.close()
    return output.path.read_bytes(), counted


@pytest.mark.parametrize("forked", [False, True])
async def test_what_a_task_and_its_children_print_lies_in_a_file_of_the_site_alone(
    tmp_path: Path, path: Path, capfd: pytest.CaptureFixture[str], forked: bool
) -> None:
    with capture_logs() as logs:
        kept, counted = await printed(tmp_path, path if forked else None, "prints")
    assert kept.count(SECRET.encode()) == 4
    assert counted["kept"] == len(kept)
    assert (tmp_path / "task.log").stat().st_mode & 0o777 == 0o600
    assert SECRET not in str(logs)
    assert SECRET not in "".join(capfd.readouterr())
    assert [line["file"] for line in logs if "which stays here" in line["event"]] == [str(tmp_path / "task.log")]


async def test_a_flood_takes_no_more_of_the_disk_than_it_may_and_the_task_goes_on(tmp_path: Path) -> None:
    with capture_logs() as logs:
        _, counted = await printed(tmp_path, None, "floods")
    assert sum(file.stat().st_size for file in tmp_path.glob("task.log*")) <= BYTES_MAX
    assert counted["kept"] <= PERIOD_BYTES_MAX
    assert counted["left-out"]
    assert len([line for line in logs if "too much" in line["event"]]) == 1


def test_the_newest_is_kept_beside_what_came_before_it(tmp_path: Path) -> None:
    output = TaskOutput(tmp_path / "task.log")
    for letter in b"abc":
        for _ in range(BYTES_MAX // 2 // 1000):
            output.keep(bytes([letter]) * 1000)
    assert set((tmp_path / "task.log").read_bytes()) == set(b"c")
    assert set((tmp_path / "task.log.1").read_bytes()) == set(b"b")


def test_after_a_flood_it_is_said_how_much_is_missing_and_writing_goes_on(tmp_path: Path) -> None:
    output, began_s = TaskOutput(tmp_path / "task.log"), 1e9
    part = b"x" * 60_000
    kept = sum(output.keep(part, began_s) for _ in range(100))
    assert kept * len(part) <= PERIOD_BYTES_MAX
    assert output.keep(b"end", began_s + PERIOD_S)
    assert (
        f"[{(100 - kept) * len(part)} bytes were left out here]\nend".encode() in (tmp_path / "task.log").read_bytes()
    )


def test_a_file_that_cannot_be_written_is_said_once_and_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "task.log").symlink_to(tmp_path / "elsewhere")
    output = TaskOutput(tmp_path / "task.log")
    with capture_logs() as logs:
        assert output.keep(b"one")
        assert output.keep(b"two")
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["the task's output cannot be kept"]
    assert not (tmp_path / "elsewhere").exists()


async def test_a_pipe_that_nobody_writes_to_any_more_is_closed(tmp_path: Path) -> None:
    output = TaskOutput(tmp_path / "task.log")
    before = len(os.listdir("/proc/self/fd"))
    os.close(output.open())
    await asyncio.sleep(0.05)
    assert len(os.listdir("/proc/self/fd")) == before
