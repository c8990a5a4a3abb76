"""Calls to one trainer: a request, its answer, the silence in between; a trainer that does not answer is killed.

Knows:    that there is one trainer at a time, and who is told when it is lost.
Never:    waits for a trainer that gives no sign for longer than it is told; decides whose turn it is.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import IO, TypeVar

import structlog

from participant.training import answers
from participant.training.answers import Pace
from participant.training.channel import GarbledError, Message
from participant.training.errors import LoadError, TrainerRefusedError
from participant.training.launch import Connection, Launcher, TrainerLostError, garbled
from participant.training.reasons import Reason
from schemas.errors import LocalError

Answer = TypeVar("Answer")

log = structlog.get_logger()


class Calls:
    """The trainer of a participant, whichever it is at the moment."""

    def __init__(
        self,
        launcher: Launcher,
        *,
        on_progress: Callable[[str, float], None],
        on_lost: Callable[[str, str], None],
        cancel_s: float,
    ) -> None:
        """`on_lost` hears of each trainer that was killed or died at work: the study it worked for, and the reason."""
        self._launcher, self._on_progress, self._cancel_s = launcher, on_progress, cancel_s
        self._on_lost = [on_lost]
        self._connection: Connection | None = None
        self._deaf: set[str] = set()  # studies whose baseline had to be killed, since somebody waited for the trainer
        self._requests = 0
        self.closed = False

    @property
    def pid(self) -> int | None:
        """Process id of the trainer, None while there is none."""
        return self._connection.pid if self._connection else None

    def on_lost(self, hears: Callable[[str], None]) -> None:
        """Tell one more of each trainer that is lost: the study it worked for."""
        self._on_lost.append(lambda study, _: hears(study))

    def close(self) -> None:
        """End the trainer now and for good; whatever is asked of it from here on fails."""
        self.closed = True
        self.drop()

    async def connection(self) -> Connection:
        """To a trainer that runs; it is started where there is none. Raises TrainerLostError."""
        if self.closed:
            raise TrainerLostError("the service ends")
        if self._connection is None:
            self._connection = await self._launcher.open()
            log.info("trainer ready", trainer=self._connection.pid)
        return self._connection

    def check_deaf(self, study: str) -> None:
        """Raises TrainerRefusedError (deaf), once, where the study's baseline had to be killed."""
        if study in self._deaf:
            self._deaf.discard(study)
            raise TrainerRefusedError(
                Reason.DEAF, "it did not stop when the trainer was wanted for learning, and was killed"
            )

    async def ask(
        self,
        connection: Connection,
        message: Message,
        silence_s: float,
        whole_s: float | None = None,
        *,
        read: Callable[[Message], Answer],
        files: Sequence[IO[bytes]] = (),
    ) -> Answer:
        """One request and its answer. Whatever ends this early also ends what the trainer does for it."""
        self._requests += 1
        request = self._requests
        try:
            connection.send({**message, "id": request}, [file.fileno() for file in files])
            async with asyncio.timeout(whole_s):
                answer = await self._answer(connection, request, message["study"], silence_s)
        except asyncio.CancelledError:
            stopping = asyncio.create_task(self._cancel(connection, request, message))
            while not stopping.done():  # however often it is cancelled meanwhile: once is enough, and it is soon over
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.shield(stopping)
            raise
        except TimeoutError:
            said = f"the trainer came to no end within {whole_s:.0f} s and was killed"
            raise self._lost(message["study"], TrainerLostError(said, reason=Reason.ENDLESS)) from None
        except TrainerLostError as error:
            raise self._lost(message["study"], error) from None
        except BaseException:
            self.drop()
            raise
        try:
            failed = answers.failure_of(answer)
            if failed is None:
                return read(answer)
        except GarbledError as error:
            raise self._lost(message["study"], garbled(error)) from None
        if failed.reason is Reason.DATA:
            raise LoadError(failed.message, hint=failed.hint, mends=True)
        if failed.reason is Reason.SETUP:
            raise LocalError(failed.message, hint=failed.hint)
        raise TrainerRefusedError(failed.reason, failed.message)

    async def _answer(self, connection: Connection, request: int, study: str, silence_s: float) -> Message:
        pace = Pace()
        while True:
            try:
                async with asyncio.timeout(silence_s):
                    message = await connection.receive()
            except TimeoutError:
                said = f"the trainer gave no sign for {silence_s:.0f} s and was killed"
                raise TrainerLostError(said, reason=Reason.HUNG) from None
            if message is None:
                raise connection.lost()
            try:
                pace.count()
                if not answers.belongs_to(message, request):
                    continue
                if message["kind"] != "progress":
                    return message
                self._on_progress(study, answers.share_of(message))
            except GarbledError as error:
                raise garbled(error) from None

    async def _cancel(self, connection: Connection, request: int, message: Message) -> None:
        """Stop a request and wait for its end, shortly: a trainer that does not stop is killed."""
        if self.closed:
            return
        study = message["study"]
        try:
            connection.send({"kind": "cancel", "id": request})
            async with asyncio.timeout(self._cancel_s):
                await self._answer(connection, request, study, 2 * self._cancel_s)
        except TimeoutError:
            said = f"the trainer did not stop within {self._cancel_s:g} s of being asked to and was killed"
            if message["kind"] == "alone" or message.get("resamples"):
                self._deaf.add(study)
            self._lost(study, TrainerLostError(said, reason=Reason.DEAF))
        except TrainerLostError as error:
            self._lost(study, error)

    def _lost(self, study: str, error: TrainerLostError) -> TrainerLostError:
        """Say why there is no trainer any more, and see to it that there is none."""
        if not self.closed:
            log.warning("trainer lost", study=study, trainer=self.pid, kind=error.reason, reason=str(error))
            for hears in self._on_lost:
                hears(study, error.reason)
        self.drop()
        return error

    def drop(self) -> None:
        """Kill the trainer; the next call starts another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.kill()
