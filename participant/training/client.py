"""The service's side of the trainer: asks one thing at a time, survives its death, cancels, and measures its silence.

Knows:    which studies a trainer has loaded; a new trainer gets them again before it is asked for anything else. Whose
          turn it is says participant.core.turns; a trainer that is lost, by whatever, is said with the reason.
Never:    imports numpy or torch, waits for a trainer that gives no sign for longer than the plan allows.
"""

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import structlog

from participant.core.turns import Rank, Turn, Turns
from participant.training import answers
from participant.training.answers import Loaded
from participant.training.calls import Answer, Calls
from participant.training.channel import GarbledError, Message
from participant.training.errors import LoadError, TrainerRefusedError
from participant.training.launch import Connection, Launcher, TrainerLostError
from runtime.disk import open_plain
from schemas.errors import LocalError
from schemas.plan import Plan

GRACE_S = 10.0  # beyond the limit of the plan: a task ends after the first step past it
CANCEL_S = 5.0
LOAD_S = 600.0
MEASURE_S = 3600.0  # others wait for it: whoever tells of progress for ever ends, too

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Load:
    """What a trainer needs to know of a study: the task, the digest its folder must have, where the data are.

    place   the folder that the task's package lies in, where it is not installed
    """

    study: str
    entry: str
    code: bytes
    site: str
    folder: Path | None
    options: Mapping[str, str]
    bad_records_max: float = 0.0
    place: Path | None = None


class Trainer:
    """One trainer for all studies of a participant, in the order of participant.core.turns."""

    def __init__(
        self,
        launcher: Launcher,
        *,
        on_progress: Callable[[str, float], None] = lambda study, share: None,
        on_lost: Callable[[str, str], None] = lambda study, reason: None,
        grace_s: float = GRACE_S,
        cancel_s: float = CANCEL_S,
        measure_s: float = MEASURE_S,
        task_words: bool = True,
    ) -> None:
        """`on_lost` hears of each trainer that was killed or died at work: the study it worked for, and the reason.

        measure_s    how long a measurement may take that learning waits for, at least
        task_words   whether errors in a task's own words are passed on
        """
        self._calls = Calls(launcher, on_progress=on_progress, on_lost=on_lost, cancel_s=cancel_s)
        self._grace_s, self._measure_s = grace_s, measure_s
        self._task_words = task_words
        self._loads: dict[str, Load] = {}
        self._turns = Turns()
        self._values = answers.Values()

    @property
    def pid(self) -> int | None:
        """Process id of the trainer, None while there is none."""
        return self._calls.pid

    def on_lost(self, hears: Callable[[str], None]) -> None:
        """Tell one more of each trainer that is lost: the study it worked for."""
        self._calls.on_lost(hears)

    async def prepare(self) -> None:
        """Start the process before it is needed. Raises TrainerLostError."""
        async with self._at_work(Rank.LEARNING):
            await self._calls.connection()

    async def load(self, load: Load) -> Loaded:
        """Raises LoadError when task or data are not as they must be; TrainerLostError, TrainerRefusedError."""
        self._loads[load.study] = load
        async with self._at_work(Rank.LEARNING):
            return await self._load(await self._calls.connection(), load)

    async def train(
        self,
        study: str,
        *,
        base: Path,
        out: IO[bytes],
        training: Mapping[str, Any],
        seed: int,
        limit_s: float,
        total_s: float | None = None,
    ) -> float:
        """Train from the vector in `base`, write the update to `out` (both raw float32); returns seconds of training.

        out       an empty file that nobody else has open; after that as long as `base`
        limit_s   how long the trainer may give no sign: a step, or a word of progress
        total_s   how long all of it may take; a task is asked to end by the plan's time limit and should not need it
        Raises TrainerLostError, TrainerRefusedError, LocalError; LoadError where a new trainer cannot load the study.
        """
        message = {"kind": "train", "training": dict(training), "seed": seed}
        with open_plain(base) as file:
            size_bytes = os.fstat(file.fileno()).st_size

            def read(answer: Message) -> float:
                if os.fstat(out.fileno()).st_size != size_bytes:
                    raise GarbledError(f"an update of another size than {size_bytes} bytes")
                return answers.seconds_of(answer)

            return await self._ask(study, message, limit_s, total_s, files=(file, out), read=read)

    async def evaluate(
        self, study: str, *, vector: Path, resamples: int, seed: int, limit_s: float
    ) -> dict[str, float]:
        """Metrics of a vector on the test patients; with `resamples` the primary one's bootstrap interval too, which
        makes it give way to all that is learnt.
        """
        message = {"kind": "evaluate", "resamples": resamples, "seed": seed}
        read = partial(self._values.of, study)
        with open_plain(vector) as file:
            if resamples:
                return await self._ask_for_the_rest(study, message, limit_s, files=(file,), read=read)
            total_s = max(self._measure_s, 10 * limit_s)
            return await self._ask(study, message, limit_s, total_s, files=(file,), read=read)

    async def alone(
        self, study: str, *, training: Mapping[str, Any], resamples: int, seed: int, limit_s: float
    ) -> dict[str, float]:
        """Train the model that these patients give alone, and measure it as `evaluate` does; in whatever time learning
        leaves. What was done is kept by the trainer: after a cancel, too, the next call goes on with it.
        """
        message = {"kind": "alone", "training": dict(training), "resamples": resamples, "seed": seed}
        return await self._ask_for_the_rest(study, message, limit_s, read=partial(self._values.of, study))

    def close(self) -> None:
        """End the trainer now and for good; whatever is asked of it from here on fails."""
        self._calls.close()

    async def _ask(
        self,
        study: str,
        message: Message,
        limit_s: float,
        total_s: float | None = None,
        *,
        read: Callable[[Message], Answer],
        files: Sequence[IO[bytes]] = (),
    ) -> Answer:
        """One piece of learning. No study has two pieces waiting for the trainer."""
        async with self._at_work(Rank.LEARNING):
            connection = await self._ready(study)
            whole_s = None if total_s is None else total_s + self._grace_s
            said = {**message, "study": study}
            return await self._calls.ask(connection, said, limit_s + self._grace_s, whole_s, read=read, files=files)

    async def _ask_for_the_rest(
        self,
        study: str,
        message: Message,
        limit_s: float,
        *,
        read: Callable[[Message], Answer],
        files: Sequence[IO[bytes]] = (),
    ) -> Answer:
        """Work that gives way: it is put aside, and gone on with, as often as something goes before it.

        Raises TrainerRefusedError (deaf) when it had to be killed instead.
        """
        while True:
            self._calls.check_deaf(study)
            async with self._at_work(Rank.BASELINE) as turn:
                connection = await self._ready(study)
                if turn.wanted_back:
                    continue
                said = {**message, "study": study}
                asked = self._calls.ask(connection, said, limit_s + self._grace_s, read=read, files=files)
                call = asyncio.create_task(asked)
                turn.yields = call.cancel
                try:
                    return await call
                except asyncio.CancelledError:
                    task = asyncio.current_task()
                    if task is None or task.cancelling():
                        raise

    @contextlib.asynccontextmanager
    async def _at_work(self, rank: Rank) -> AsyncIterator[Turn]:
        """Have the trainer alone; an error tells how long others had to wait for it."""
        begins = asyncio.get_running_loop().create_future()
        turn = Turn(rank, lambda: None if begins.done() else begins.set_result(None))
        self._turns.ask(turn)
        try:
            await begins
            began_s = time.monotonic()
            try:
                yield turn
            except (TrainerLostError, TrainerRefusedError, LoadError) as error:
                error.took_s = time.monotonic() - began_s
                raise
        finally:
            self._turns.done(turn)

    async def _ready(self, study: str) -> Connection:
        """A trainer that has loaded the study."""
        connection = await self._calls.connection()
        if study not in connection.loaded:
            await self._load(connection, self._loads[study])
        return connection

    async def _load(self, connection: Connection, load: Load) -> Loaded:
        message = {
            "kind": "load",
            "study": load.study,
            "entry": load.entry,
            "code": load.code,
            "site": load.site,
            "folder": str(load.folder or ""),
            "options": dict(load.options),
            "bad_records_max": load.bad_records_max,
            "words": self._task_words,
            "place": str(load.place or ""),
        }
        try:
            loaded = await self._to_its_end(
                self._calls.ask(connection, message, LOAD_S, LOAD_S, read=answers.loaded_of)
            )
        except LoadError:
            raise
        except LocalError as error:
            raise LoadError(str(error), hint=error.hint) from None
        connection.loaded.add(load.study)
        return loaded

    async def _to_its_end(self, call: Coroutine[Any, Any, Answer]) -> Answer:
        """What is loaded is needed whatever comes next, and cannot be stopped half-way: a cancel waits for it."""
        loading = asyncio.create_task(call)
        try:
            return await asyncio.shield(loading)
        except asyncio.CancelledError:
            if not self._calls.closed:
                try:
                    await asyncio.wait({loading})
                except asyncio.CancelledError:
                    self._calls.drop()
                    raise
            if loading.done() and not loading.cancelled():
                loading.exception()  # whoever asked does not want to know any more
            raise


def training_seed(plan: Plan, site: str, base_version: int, attempt: int) -> int:
    """A seed that is another one for every site, version and attempt, and the same after a restart."""
    words = f"{plan.seed}/{plan.study}/{site}/{base_version}/{attempt}"
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big") >> 2
