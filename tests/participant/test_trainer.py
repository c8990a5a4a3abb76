"""The trainer process: what it answers, and that its death, silence or mistakes never are the service's."""

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from learning.entry import folder_digest
from participant.training.channel import TEXT_MAX
from participant.training.client import Load, Trainer
from participant.training.errors import LoadError, TrainerRefusedError
from participant.training.launch import Launcher, TrainerLostError
from participant.training.output import TaskOutput
from schemas.errors import LocalError
from tests.participant.tiny.task import SECRET

ENTRY = "tests.participant.tiny.task:task"
CODE = folder_digest(Path(__file__).parent / "tiny")
TRAINING = {
    "optimiser": "sgd", "learning_rate": 0.1, "momentum": 0.0, "weight_decay": 0.0,
    "epochs": 1, "steps": 0, "batch": 0, "proximal": 0.0, "time_limit_s": 0.0,
}  # fmt: skip


def load(site: str = "site-1", code: bytes = CODE, study: str = "demo") -> Load:
    return Load(study, ENTRY, code, site, None, {})


GRACE_S = 0.5
HASTE_S = 0.1  # a grace for those that do not end when they are asked to, however long they are given


@pytest_asyncio.fixture
async def trainer(request: pytest.FixtureRequest) -> AsyncIterator[Trainer]:
    trainer = Trainer(Launcher(None, []), grace_s=getattr(request, "param", GRACE_S))
    yield trainer
    trainer.close()


hasty = pytest.mark.parametrize("trainer", [HASTE_S], indirect=True, ids=["hasty"])


@pytest.fixture
def train(tmp_path: Path, trainer: Trainer) -> Callable[..., Any]:
    """Train once from zero; returns the update."""
    base, out = tmp_path / "base.f32", tmp_path / "out.f32"
    np.zeros(2, "<f4").tofile(base)

    async def once(limit_s: float = 30.0, total_s: float | None = None, study: str = "demo") -> np.ndarray:
        with out.open("w+b") as file:
            await trainer.train(study, base=base, out=file, training=TRAINING, seed=1, limit_s=limit_s, total_s=total_s)
        return np.fromfile(out, "<f4")

    return once


async def test_it_trains_and_measures_through_files(
    trainer: Trainer, train: Callable[..., Any], tmp_path: Path
) -> None:
    loaded = await trainer.load(load())
    assert (loaded.parameters, loaded.metric, loaded.examples, loaded.bytes_data) == (2, "mse", 12, 96)
    update = await train()
    assert update.shape == (2,)
    vector = tmp_path / "base.f32"
    values = await trainer.evaluate("demo", vector=vector, resamples=20, seed=0, limit_s=30)
    assert set(values) == {"mse", "mse-low", "mse-high", "n-test"}
    alone = await trainer.alone("demo", training=TRAINING, resamples=0, seed=0, limit_s=30)
    assert alone["mse"] < values["mse"]


async def test_a_task_without_torch_never_loads_it(trainer: Trainer, train: Callable[..., Any]) -> None:
    await trainer.load(load())
    await train()
    libraries = Path(f"/proc/{trainer.pid}/maps").read_text()
    assert "numpy" in libraries
    assert "torch" not in libraries


async def test_a_killed_trainer_is_a_failure_and_the_next_request_gets_a_new_one(
    trainer: Trainer, train: Callable[..., Any]
) -> None:
    await trainer.load(load())
    first = trainer.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    with pytest.raises(TrainerLostError):
        await train()
    assert len(await train()) == 2
    assert trainer.pid != first


async def test_a_task_that_crashes_its_process_is_a_failure(trainer: Trainer, train: Callable[..., Any]) -> None:
    await trainer.load(load("dies"))
    with pytest.raises(TrainerLostError, match="short of memory") as lost:
        await train()
    assert lost.value.reason == "killed"


@hasty
async def test_a_trainer_that_gives_no_sign_is_killed(trainer: Trainer, train: Callable[..., Any]) -> None:
    await trainer.load(load("hangs"))
    pid = trainer.pid
    with pytest.raises(TrainerLostError, match="no sign"):
        await train(limit_s=0.2)
    assert pid is not None
    await _gone(pid)


@hasty
async def test_a_training_that_comes_to_no_end_is_ended_though_it_takes_steps(
    trainer: Trainer, train: Callable[..., Any]
) -> None:
    await trainer.load(load("slow"))
    pid = trainer.pid
    with pytest.raises(TrainerLostError, match="no end") as lost:
        await train(limit_s=30.0, total_s=0.2)
    assert lost.value.reason == "endless"
    assert pid is not None
    await _gone(pid)


async def test_asking_whether_it_was_cancelled_is_a_sign_of_life(trainer: Trainer, train: Callable[..., Any]) -> None:
    await trainer.load(load("mute"))
    work = asyncio.create_task(train(limit_s=0.2))
    await asyncio.sleep(1.0)  # longer than limit and grace together
    assert not work.done()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


@hasty
async def test_studies_take_turns_however_badly_one_of_them_behaves(
    trainer: Trainer, train: Callable[..., Any]
) -> None:
    await trainer.load(load("hangs", study="bad"))
    await trainer.load(load(study="good"))
    order: list[str] = []

    async def again(study: str) -> None:
        for _ in range(3):
            with contextlib.suppress(TrainerLostError):
                await train(limit_s=0.1, study=study)
            order.append(study)

    await asyncio.gather(again("bad"), again("good"))
    assert order == ["bad", "good"] * 3


@hasty
async def test_a_failure_tells_how_long_others_had_to_wait_for_it(trainer: Trainer, train: Callable[..., Any]) -> None:
    await trainer.load(load("hangs"))
    with pytest.raises(TrainerLostError) as lost:
        await train(limit_s=0.1)
    assert lost.value.took_s >= 0.1 + HASTE_S  # the limit and the grace


async def test_the_kernel_ends_the_trainer_before_the_service(trainer: Trainer) -> None:
    await trainer.prepare()
    assert int(Path(f"/proc/{trainer.pid}/oom_score_adj").read_text()) >= 500


async def test_progress_keeps_a_long_training_alive_and_cancel_ends_it_without_killing(
    trainer: Trainer, train: Callable[..., Any], tmp_path: Path
) -> None:
    await trainer.load(load("slow"))
    pid = trainer.pid
    work = asyncio.create_task(train(limit_s=0.2))
    await asyncio.sleep(1.0)  # longer than limit and grace together: progress is a sign
    assert not work.done()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert trainer.pid == pid
    await trainer.evaluate("demo", vector=tmp_path / "base.f32", resamples=0, seed=0, limit_s=30)


async def alone_of(trainer: Trainer, study: str = "demo", resamples: int = 0) -> dict[str, float]:
    return await trainer.alone(study, training=TRAINING, resamples=resamples, seed=0, limit_s=30)


async def test_what_was_done_of_a_baseline_is_kept_and_its_result_is_the_same(trainer: Trainer, tmp_path: Path) -> None:
    measured = tmp_path / "measured"
    await trainer.load(replace(load("noted"), folder=tmp_path))
    whole = await alone_of(trainer, resamples=60)
    once = measured.stat().st_size
    pid = trainer.pid
    for _ in range(3):
        before = measured.stat().st_size
        work = asyncio.create_task(alone_of(trainer, resamples=60))
        await _until(lambda: measured.stat().st_size >= before + 10)  # noqa: B023  # called here alone
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
    assert await alone_of(trainer, resamples=60) == whole
    assert measured.stat().st_size == 2 * once
    assert trainer.pid == pid


async def test_a_baseline_that_is_stopped_while_the_trainer_is_asked_for_keeps_it_alive(
    trainer: Trainer, train: Callable[..., Any], tmp_path: Path
) -> None:
    measured = tmp_path / "measured"
    await trainer.load(replace(load("noted"), folder=tmp_path))
    pid = trainer.pid
    for _ in range(5):
        before = measured.stat().st_size if measured.exists() else 0
        work = asyncio.create_task(alone_of(trainer, resamples=500))
        await _until(lambda: measured.exists() and measured.stat().st_size > before + 3)  # noqa: B023  # called here
        work.cancel()  # by its own study, which asks for the trainer in the same breath
        wanted = asyncio.create_task(train())
        await asyncio.sleep(0)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert len(await wanted) == 2
    assert trainer.pid == pid


@pytest.mark.parametrize("kind", ["alone", "evaluate"])
async def test_baseline_and_bootstrap_give_way_to_a_study_that_learns(
    trainer: Trainer, train: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    measured = tmp_path / "measured"
    np.zeros(2, "<f4").tofile(tmp_path / "last.f32")
    await trainer.load(load(study="learns"))
    await trainer.load(replace(load("noted", study="slow"), folder=tmp_path))
    pid = trainer.pid

    async def rest() -> dict[str, float]:
        if kind == "alone":
            return await alone_of(trainer, "slow", resamples=200)
        return await trainer.evaluate("slow", vector=tmp_path / "last.f32", resamples=200, seed=0, limit_s=30)

    work = asyncio.create_task(rest())
    await _until(measured.exists)
    for _ in range(5):
        await train(study="learns")
        assert not work.done()
    assert set(await work) == {"mse", "mse-low", "mse-high", "n-test"}
    assert measured.stat().st_size == 201  # none was measured twice
    assert trainer.pid == pid


async def test_a_baseline_that_does_not_stop_is_killed_said_and_not_begun_again_at_once() -> None:
    lost: list[tuple[str, str]] = []
    trainer = Trainer(Launcher(None, []), on_lost=lambda *what: lost.append(what), cancel_s=0.2)
    try:
        await trainer.load(load("deaf", study="deaf"))
        work = asyncio.create_task(alone_of(trainer, "deaf"))
        await asyncio.sleep(0.5)
        with capture_logs() as logs:
            await trainer.load(load(study="learns"))
        with pytest.raises(TrainerRefusedError, match="did not stop") as refused:
            await work
    finally:
        trainer.close()
    assert refused.value.reason == "deaf"
    assert lost == [("deaf", "deaf")]
    assert [(line["event"], line["kind"]) for line in logs if line["log_level"] == "warning"] == [
        ("trainer lost", "deaf")
    ]


async def test_a_measurement_that_had_to_be_killed_is_no_failure_of_the_baseline(tmp_path: Path) -> None:
    np.zeros(2, "<f4").tofile(tmp_path / "last.f32")
    trainer = Trainer(Launcher(None, []), cancel_s=0.2)
    try:
        await trainer.load(replace(load("asleep"), folder=tmp_path))
        work = asyncio.create_task(
            trainer.evaluate("demo", vector=tmp_path / "last.f32", resamples=0, seed=0, limit_s=30)
        )
        await _until((tmp_path / "measuring").exists)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert trainer.pid is None
        assert "mse" in await alone_of(trainer)
    finally:
        trainer.close()


async def test_a_study_that_is_loading_is_not_killed_for_what_is_cancelled_meanwhile(
    trainer: Trainer, train: Callable[..., Any]
) -> None:
    await trainer.load(load())
    assert trainer.pid is not None
    os.kill(trainer.pid, signal.SIGKILL)
    with pytest.raises(TrainerLostError):
        await train()
    await trainer.prepare()
    pid, work = trainer.pid, asyncio.create_task(alone_of(trainer))
    await asyncio.sleep(0)  # it has begun to load the study again
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert len(await train()) == 2
    assert trainer.pid == pid


async def test_a_task_that_writes_to_the_service_itself_costs_its_trainer_and_no_other_study(
    trainer: Trainer, train: Callable[..., Any]
) -> None:
    await trainer.load(load("garbles", study="bad"))
    await trainer.load(load(study="good"))
    first = trainer.pid
    with pytest.raises(TrainerLostError) as lost:
        await train(study="bad")
    assert lost.value.reason == "garbled"
    assert len(await train(study="good")) == 2
    assert trainer.pid != first


async def test_nan_is_told_apart_from_a_lost_trainer(trainer: Trainer, train: Callable[..., Any]) -> None:
    await trainer.load(load("nan"))
    with pytest.raises(TrainerRefusedError, match="NaN") as refused:
        await train()
    assert refused.value.reason == "numbers"


async def test_a_site_with_nobody_to_train_on_is_told_apart_from_numbers_that_are_none(
    trainer: Trainer, train: Callable[..., Any]
) -> None:
    await trainer.load(load("untrained"))
    with pytest.raises(TrainerRefusedError) as refused:
        await train()
    assert refused.value.reason == "nobody"


async def test_a_tasks_own_error_text_never_leaves_the_trainer(trainer: Trainer, train: Callable[..., Any]) -> None:
    await trainer.load(load("leaks"))
    with pytest.raises(TrainerRefusedError, match=r"ValueError in task\.py") as refused:
        await train()
    assert SECRET not in str(refused.value)


async def test_data_that_break_the_contract_are_the_operators_to_mend_and_may_be_right_tomorrow(
    trainer: Trainer,
) -> None:
    with pytest.raises(LoadError, match="breaks the data contract") as broken:
        await trainer.load(load("broken"))
    assert broken.value.mends


async def test_thousands_of_columns_that_break_the_contract_are_told_in_one_message(trainer: Trainer) -> None:
    with pytest.raises(LoadError, match="wide breaks the data contract: column gene-0: 1 of 1 rows") as broken:
        await trainer.load(load("wide"))
    assert len(str(broken.value)) <= TEXT_MAX


async def test_a_task_may_count_in_numpys_numbers(trainer: Trainer) -> None:
    assert (await trainer.load(load("numpy"))).bytes_data == 96


async def test_a_tasks_own_words_stay_in_its_own_file_where_policy_says_so(tmp_path: Path) -> None:
    (tmp_path / "gone").touch()
    trainer = Trainer(Launcher(None, []), task_words=False)
    try:
        with pytest.raises(
            LoadError, match=r"LocalError in task\.py, line \d+, in load; its words are in task\.log"
        ) as kept:
            await trainer.load(replace(load("folder"), folder=tmp_path))
        assert "the data are gone" not in f"{kept.value} {kept.value.hint}"
        with pytest.raises(LoadError, match="breaks the data contract"):  # our own words hold no value
            await trainer.load(load("broken"))
    finally:
        trainer.close()


async def test_bad_records_that_the_plan_allows_are_set_aside_and_told(trainer: Trainer) -> None:
    loaded = await trainer.load(replace(load("broken"), bad_records_max=0.5))
    assert (loaded.records, loaded.bad_records, loaded.examples) == (12, 5, 7)
    assert [tuple(one) for one in loaded.set_aside] == [("broken", "x", "out-of-range", 5)]


async def test_more_bad_records_than_the_plan_allows_are_the_operators_to_mend(trainer: Trainer) -> None:
    with pytest.raises(LocalError, match="5 of 12 records"):
        await trainer.load(replace(load("broken"), bad_records_max=0.4))


async def test_a_task_folder_that_is_not_the_approved_one_is_refused(trainer: Trainer) -> None:
    with pytest.raises(LoadError, match="the plan approves") as refused:
        await trainer.load(load(code=bytes(32)))
    assert not refused.value.mends


async def test_a_task_that_is_not_there_is_a_mistake_and_not_waited_for(trainer: Trainer) -> None:
    with pytest.raises(LoadError, match="no module nowhere") as refused:
        await trainer.load(replace(load(), entry="nowhere.task:task"))
    assert not refused.value.mends


async def test_a_trainer_that_dies_while_it_loads_is_lost_and_tells_how_long_it_took(trainer: Trainer) -> None:
    with pytest.raises(TrainerLostError, match="short of memory") as lost:
        await trainer.load(load("dies-loading"))
    assert lost.value.took_s > 0


async def test_data_that_a_new_trainer_does_not_find_again_are_told_apart_from_a_failed_training(
    trainer: Trainer, train: Callable[..., Any], tmp_path: Path
) -> None:
    await trainer.load(replace(load("folder"), folder=tmp_path))
    assert trainer.pid is not None
    os.kill(trainer.pid, signal.SIGKILL)
    with pytest.raises(TrainerLostError):
        await train()
    (tmp_path / "gone").touch()
    with pytest.raises(LoadError, match="gone") as gone:
        await train()
    assert gone.value.mends
    (tmp_path / "gone").unlink()
    assert len(await train()) == 2


async def test_a_machine_that_can_start_no_process_is_a_lost_trainer(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr("participant.training.launch.subprocess.Popen", refuse)
    with pytest.raises(TrainerLostError, match="Cannot allocate memory"):
        await trainer.load(load())


class Scarce(TaskOutput):
    """There is a descriptor for the first of two outputs alone."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked = 0

    def open(self) -> int:
        self.asked += 1
        if self.asked > 1:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().open()


async def test_a_trainer_that_cannot_be_told_where_to_write_is_ended(tmp_path: Path) -> None:
    launcher, before = Launcher(None, [], output=Scarce(tmp_path / "task.log")), _children()
    with pytest.raises(TrainerLostError, match="Too many open files"):
        await launcher.open()
    await _until(lambda: _children() <= before)


def _children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.fixture
def full_disk() -> Iterator[IO[bytes]]:
    with Path("/dev/full").open("wb") as file:
        yield file


async def test_an_update_for_which_there_is_no_space_is_a_failure_of_the_disk(
    trainer: Trainer, tmp_path: Path, full_disk: IO[bytes]
) -> None:
    await trainer.load(load())
    base = tmp_path / "base.f32"
    np.zeros(2, "<f4").tofile(base)
    with pytest.raises(TrainerRefusedError, match="No space") as refused:
        await trainer.train("demo", base=base, out=full_disk, training=TRAINING, seed=1, limit_s=30)
    assert refused.value.reason == "disk"


@pytest.mark.parametrize("end", ["closed", "killed"])
async def test_what_a_task_has_started_ends_with_it(trainer: Trainer, tmp_path: Path, end: str) -> None:
    await trainer.load(replace(load("spawns"), folder=tmp_path))
    children = [int(word) for word in (tmp_path / "children").read_text().split()]
    assert len(children) == 2
    assert trainer.pid is not None
    if end == "closed":
        trainer.close()
    else:
        os.kill(trainer.pid, signal.SIGKILL)
    for pid in children:
        await _gone(pid)


async def test_what_a_task_has_started_ends_when_its_participant_is_killed(tmp_path: Path) -> None:
    work = f"await trainer.load(__import__('tests.participant.test_trainer', fromlist=['x']).spawning('{tmp_path}'))"
    with participant_with("None, []", work) as (participant, pid):
        children = [int(word) for word in (tmp_path / "children").read_text().split()]
        participant.kill()
    for one in (pid, *children):
        await _gone(one)


def spawning(folder: str) -> Load:
    return replace(load("spawns"), folder=Path(folder))


async def test_a_trainer_dies_with_its_participant() -> None:
    with participant_with("None, []") as (participant, pid):
        participant.kill()
    await _gone(pid)


@contextlib.contextmanager
def participant_with(launcher: str, work: str = "pass") -> "Iterator[tuple[subprocess.Popen[bytes], int]]":
    """Another participant in a process of its own that has done `work`, and the process id of its trainer."""
    script = (
        "import asyncio, pathlib\n"
        "from participant.training.client import Trainer\n"
        "from participant.training.launch import Launcher\n"
        "from runtime.logs import configure\n"
        "configure('error')\n"
        "async def main():\n"
        f"    trainer = Trainer(Launcher({launcher}))\n"
        "    await trainer.prepare()\n"
        f"    {work}\n"
        "    print(trainer.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    participant = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    try:
        assert participant.stdout is not None
        yield participant, int(participant.stdout.readline())
    finally:
        participant.kill()
        participant.communicate()


async def _until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to be")


async def _gone(pid: int) -> None:
    """Wait until a process has ended (or only its zombie is left)."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"process {pid} still runs")
