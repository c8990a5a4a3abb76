"""The service's side of the trainer: asks one thing at a time, survives its death, cancels, and measures its silence.

Knows:    which studies a trainer has loaded; a new trainer gets them again before it is asked for anything else.
Never:    imports numpy or torch, waits for a trainer that gives no sign for longer than the plan allows.
Used by:  participant.shell.
"""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from participant.training.channel import Message, pack
from participant.training.launch import Connection, Launcher, TrainerLostError
from schemas.errors import FederationError, LocalError
from schemas.plan import Plan

GRACE_S = 10.0  # beyond the limit of the plan: a task ends after the first step past it
CANCEL_S = 5.0
LOAD_S = 600.0

log = structlog.get_logger()


class TrainerRefusedError(FederationError):
    """The trainer answered with a failure.

    reason   numbers (NaN), disk, task (an error in the task's code)
    took_s   how long the trainer was at it
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.took_s = reason, 0.0


class LoadError(LocalError):
    """A study's task or data are not as they must be, so that nothing can be done for it.

    mends    whether it may come right without other settings or another task: data that are not there yet, say
    reason   setup, or why the trainer failed: see TrainerLostError and TrainerRefusedError
    took_s   how long the trainer was at it
    """

    def __init__(
        self, message: str, *, hint: str = "", mends: bool = False, reason: str = "setup", took_s: float = 0.0
    ) -> None:
        super().__init__(message, hint=hint)
        self.mends, self.reason, self.took_s = mends, reason, took_s


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


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the task says of itself and of this site's data.

    records, bad_records   read by the task's quarantine, and set aside by it; none when the task does not use it
    set_aside              (file, column, rule, records), a record once for each rule that it breaks
    """

    parameters: int
    metric: str
    higher_is_better: bool
    examples: int
    bytes_data: int
    records: int = 0
    bad_records: int = 0
    set_aside: Sequence[tuple[str, str, str, int]] = ()


class Trainer:
    """One trainer for all studies of a participant; who asks first is served first."""

    def __init__(
        self,
        launcher: Launcher,
        *,
        on_progress: Callable[[str, float], None] = lambda study, share: None,
        grace_s: float = GRACE_S,
    ) -> None:
        self._launcher, self._on_progress, self._grace_s = launcher, on_progress, grace_s
        self._loads: dict[str, Load] = {}
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._requests = 0
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Process id of the trainer, None while there is none."""
        return self._connection.pid if self._connection else None

    async def prepare(self) -> None:
        """Start the process before it is needed. Raises TrainerLostError."""
        async with self._turn:
            await self._connected()

    async def load(self, load: Load) -> Loaded:
        """Raises LoadError when task or data are not as they must be; TrainerLostError, TrainerRefusedError."""
        self._loads[load.study] = load
        async with self._at_work():
            return await self._load(await self._connected(), load)

    async def train(
        self,
        study: str,
        *,
        base: Path,
        out: Path,
        training: Mapping[str, Any],
        seed: int,
        limit_s: float,
        total_s: float | None = None,
    ) -> float:
        """Train from the vector in `base`, write the update to `out` (both raw float32); returns seconds of training.

        limit_s   how long the trainer may give no sign: a step, or a word of progress
        total_s   how long all of it may take; a task is asked to end by the plan's time limit and should not need it
        Raises TrainerLostError, TrainerRefusedError, LocalError; LoadError where a new trainer cannot load the study.
        """
        message = {"kind": "train", "base": str(base), "out": str(out), "training": dict(training), "seed": seed}
        return float((await self._ask(study, message, limit_s, total_s))["seconds"])

    async def evaluate(
        self, study: str, *, vector: Path, resamples: int, seed: int, limit_s: float
    ) -> dict[str, float]:
        """Metrics of a vector on the test patients; with `resamples` the primary one's bootstrap interval too."""
        message = {"kind": "evaluate", "vector": str(vector), "resamples": resamples, "seed": seed}
        values: dict[str, float] = (await self._ask(study, message, limit_s))["values"]
        return values

    async def alone(
        self, study: str, *, training: Mapping[str, Any], resamples: int, seed: int, limit_s: float
    ) -> dict[str, float]:
        """Train the model that these patients give alone, and measure it as `evaluate` does."""
        message = {"kind": "alone", "training": dict(training), "resamples": resamples, "seed": seed}
        values: dict[str, float] = (await self._ask(study, message, limit_s))["values"]
        return values

    def close(self) -> None:
        """End the trainer now and for good; whatever is asked of it from here on fails."""
        self._closed = True
        self._drop()

    async def _ask(self, study: str, message: Message, limit_s: float, total_s: float | None = None) -> Message:
        """One piece of work. Studies take turns: the lock is fair, and no study has two pieces waiting for it."""
        async with self._at_work():
            connection = await self._connected()
            if study not in connection.loaded:
                await self._load(connection, self._loads[study])
            whole_s = None if total_s is None else total_s + self._grace_s
            return await self._call(connection, {**message, "study": study}, limit_s + self._grace_s, whole_s)

    @contextlib.asynccontextmanager
    async def _at_work(self) -> AsyncIterator[None]:
        """Have the trainer alone; an error tells how long others had to wait for it."""
        async with self._turn:
            began_s = time.monotonic()
            try:
                yield
            except (TrainerLostError, TrainerRefusedError, LoadError) as error:
                error.took_s = time.monotonic() - began_s
                raise

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
            "place": str(load.place or ""),
        }
        try:
            answer = await self._call(connection, message, LOAD_S)
        except LoadError:
            raise
        except LocalError as error:
            raise LoadError(str(error), hint=error.hint) from None
        connection.loaded.add(load.study)
        return Loaded(**{name: answer[name] for name in Loaded.__dataclass_fields__})

    async def _connected(self) -> Connection:
        if self._closed:
            raise TrainerLostError("the service ends")
        if self._connection is None:
            self._connection = await self._launcher.open()
            log.info("trainer ready", trainer=self._connection.pid)
        return self._connection

    async def _call(
        self, connection: Connection, message: Message, silence_s: float, whole_s: float | None = None
    ) -> Message:
        """One request and its answer. Whatever ends this early also ends what the trainer does for it."""
        self._requests += 1
        request = self._requests
        connection.writer.write(pack({**message, "id": request}))
        try:
            async with asyncio.timeout(whole_s):
                answer = await self._answer(connection, request, message["study"], silence_s)
        except asyncio.CancelledError:
            await self._cancel(connection, request, message["study"])
            raise
        except TimeoutError:
            self._drop()
            said = f"the trainer came to no end within {whole_s:.0f} s and was killed"
            raise TrainerLostError(said, reason="endless") from None
        except BaseException:
            self._drop()
            raise
        if answer["kind"] == "done":
            return answer
        if answer["reason"] == "data":
            raise LoadError(answer["message"], hint=answer["hint"], mends=True)
        if answer["reason"] == "setup":
            raise LocalError(answer["message"], hint=answer["hint"])
        raise TrainerRefusedError(answer["reason"], answer["message"])

    async def _answer(self, connection: Connection, request: int, study: str, silence_s: float) -> Message:
        while True:
            try:
                async with asyncio.timeout(silence_s):
                    message = await connection.inbox.receive()
            except TimeoutError:
                said = f"the trainer gave no sign for {silence_s:.0f} s and was killed"
                raise TrainerLostError(said, reason="hung") from None
            if message is None:
                raise connection.lost()
            if message["id"] != request:
                continue
            if message["kind"] != "progress":
                return message
            self._on_progress(study, message["share"])

    async def _cancel(self, connection: Connection, request: int, study: str) -> None:
        """Stop a request and wait for its end, shortly: a trainer that does not stop is killed."""
        stopped = False
        if self._closed:
            return
        with contextlib.suppress(TrainerLostError, ConnectionError, asyncio.CancelledError):
            connection.writer.write(pack({"kind": "cancel", "id": request}))
            await self._answer(connection, request, study, CANCEL_S)
            stopped = True
        if not stopped:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.kill()


def training_settings(plan: Plan) -> dict[str, Any]:
    """The plan's [training] as the trainer takes it."""
    training = plan.training
    names = ("optimiser", "learning_rate", "momentum", "weight_decay", "epochs", "steps", "batch", "proximal")
    return {name: getattr(training, name) for name in names} | {"time_limit_s": float(training.time_limit_s)}


def training_seed(plan: Plan, site: str, base_version: int, attempt: int) -> int:
    """A seed that is another one for every site, version and attempt, and the same after a restart."""
    words = f"{plan.seed}/{plan.study}/{site}/{base_version}/{attempt}"
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big") >> 2
