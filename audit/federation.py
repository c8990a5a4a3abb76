"""Look into a federation from a notebook or a command: its studies, their history, the versions themselves.

Knows:    the registrar's public key, and for versions one member's name and opening key.
Never:    writes anything; waits longer than 10 s for a broker that does not answer, except in `follow`, which goes on
          for ever. A long log takes longer: `progress` tells how far its reading is.

    with Federation("broker:9092", registrar_key="registrar.pub", tls="site-1.tls") as federation:
        print(federation.history("lung").effective_shares())

    async with AsyncFederation("broker:9092", registrar_key="registrar.pub", tls="site-1.tls") as federation:
        async for history in federation.follow("lung"):
            print(history.version, history.overall(history.version))
"""

import asyncio
import threading
import warnings
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from audit import following
from audit.history import StudyHistory
from audit.reading import FederationReader, Progress
from audit.versions import OpeningMember, fetch_version
from protocol.key_files import read_registrar_key
from protocol.rings import OpenRing
from protocol.roster_memory import RosterMemory
from protocol.sealing import OpeningKeys
from protocol.tls.files import tls_beside
from runtime.logs import logs_of_a_library
from schemas.errors import LocalError
from schemas.plan import Plan
from schemas.roster import Membership
from transport.dialing import DIRECT, choice_of, loop_factory
from transport.settings import TLS, KafkaSettings

if TYPE_CHECKING:
    from audit.models import Exported

PACE_S = 0.3
T = TypeVar("T")


class AsyncFederation:
    """A read-only view of one federation, to be awaited. Federation is the same without `await`.

    What was read once is not read again: `history` of the same study gives the same object, grown.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        registrar_key: bytes | str | Path,
        member: str | None = None,
        opening_key: OpeningKeys | str | Path | None = None,
        memory: RosterMemory | None = None,
        progress: Progress = lambda done, total: None,
        tls: str | Path | None = None,
        security: str = TLS,
    ) -> None:
        """`registrar_key` is registrar.pub or its 32 bytes. `member` and its `opening_key` are needed for `model`.

        `memory` is of the newest roster met: beside the file of the opening key, where there is one.
        The coordinator's or an auditor's `opening_key`, also without `member`, opens what single sites measured.
        progress   called with the records read and those there, now and then, while a log is read
        tls        the folder with ca.pem, cert.pem and key.pem; None: NAME.tls beside a key that is
                   named
        security   "tls", or "plaintext-on-purpose"
        """
        logs_of_a_library()
        public = registrar_key if isinstance(registrar_key, bytes) else read_registrar_key(Path(registrar_key))
        beside = [Path(one) for one in (opening_key, registrar_key) if isinstance(one, str | Path)]
        folder = Path(tls) if tls is not None else tls_beside(*beside)
        if isinstance(opening_key, str | Path):
            memory = memory or RosterMemory.beside(Path(opening_key), public)
            opening_key = OpenRing.load(Path(opening_key))
        settings = KafkaSettings(bootstrap, "wardround-federation", security=security, tls=folder, fetch_wait_ms=100)
        self._reader = FederationReader(settings, public, key=opening_key, memory=memory, progress=progress)
        self._member = OpeningMember(member, opening_key) if member is not None and opening_key is not None else None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def studies(self) -> dict[str, Plan]:
        """The published plans by study.

        Raises LocalError when every record is another registrar's, TransientError when the broker is not reached in
        10 s.
        """
        directory = await self._reader.directory()
        return {plan.study: plan for plan, _ in directory.plans.values()}

    async def membership(self) -> Membership | None:
        """Who belongs, by the newest roster; None before the first. Raises TransientError as `studies`."""
        return (await self._reader.directory()).membership

    async def history(self, study: str) -> StudyHistory:
        """The study's history up to now, of those of its topics that are there; it names the others.

        Of signs of life that say the same not all are read. Raises LocalError when there is no such study,
        TransientError as `studies`.
        """
        return (await self._reader.study_log(study)).history

    def follow(self, study: str, *, pace_s: float = PACE_S) -> AsyncGenerator[StudyHistory]:
        """The study's history, again whenever it has grown (the same object); over broken links, for ever.

        Reads at most every `pace_s` seconds: many records at once cost much less than one by one. Topics that the
        broker lacks are waited for. Raises LocalError when there is no such study.
        """
        return following.follow(self._reader, study, pace_s=pace_s)

    async def model(self, study: str, version: int | None = None) -> NDArray[np.float32]:
        """The model's `version` (the newest without it), float32 (p,); every byte is checked against the log.

        Raises LocalError without a member's keys, for a version that is not there or no longer kept, or when this
        member is not given the study's key.
        """
        if self._member is None:
            raise LocalError(
                "opening a version needs a member's keys",
                hint="Federation(..., member=NAME, opening_key='NAME.open')",
            )
        return await fetch_version(self._reader, self._member, study, version)

    async def export(
        self,
        study: str,
        path: str | Path,
        *,
        version: int | None = None,
        best: bool = False,
        folder: str | Path | None = None,
    ) -> "Exported":
        """Write a version (the newest without `version` or `best`) to `path` as safetensors, whole or not at all.

        best     the version that its sites judged best, of those still kept; see audit.models.best_version
        folder   of the study's task.py; without it the plan's entry is imported
        Raises LocalError as `model` does, and when the task here is not the one that the plan approves.
        """
        from audit.models import choose, export_version, header_of

        history = await self.history(study)
        number, remarks = choose(history, version, best=best)
        header = header_of(history, number)
        task_folder = None if folder is None else Path(folder)
        return export_version(Path(path), await self.model(study, number), header, task_folder, remarks)

    async def version(self, study: str, n: int | None = None) -> NDArray[np.float32]:
        """The old name of `model`."""
        _old("version(...)", "model(...)")
        return await self.model(study, n)


class Federation:
    """A read-only view of one federation, for code without `await`: it works in a notebook too.

    It asks an AsyncFederation, in a thread of its own. `progress` is called from that thread.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        registrar_key: bytes | str | Path,
        member: str | None = None,
        opening_key: OpeningKeys | str | Path | None = None,
        memory: RosterMemory | None = None,
        progress: Progress = lambda done, total: None,
        tls: str | Path | None = None,
        security: str = TLS,
        proxy: str = DIRECT,
        proxy_user: str = "",
        proxy_password_file: Path | None = None,
    ) -> None:
        """As AsyncFederation; connections leave through `proxy`: "none", "environment", or "http://host:port"."""
        self._federation = AsyncFederation(
            bootstrap,
            registrar_key=registrar_key,
            member=member,
            opening_key=opening_key,
            memory=memory,
            progress=progress,
            tls=tls,
            security=security,
        )
        self._worker = _Worker(loop_factory(choice_of(proxy, proxy_user, proxy_password_file)))

    @classmethod
    def connect(cls, bootstrap: str, **how: Any) -> "Federation":
        """The old way to make one."""
        _old("Federation.connect(...)", "Federation(...)")
        return cls(bootstrap, **how)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> AsyncFederation:
        """The old way to an AsyncFederation."""
        _old("async with Federation(...)", "async with AsyncFederation(...)")
        return self._federation

    async def __aexit__(self, *_: object) -> None:
        return None

    def studies(self) -> dict[str, Plan]:
        """As AsyncFederation.studies."""
        return self._worker.run(self._federation.studies())

    def membership(self) -> Membership | None:
        """As AsyncFederation.membership."""
        return self._worker.run(self._federation.membership())

    def history(self, study: str) -> StudyHistory:
        """As AsyncFederation.history."""
        return self._worker.run(self._federation.history(study))

    def follow(self, study: str, *, pace_s: float = PACE_S) -> Iterator[StudyHistory]:
        """As AsyncFederation.follow: the same history again whenever it has grown, for ever; `break` when `final`.

        Between two turns the history stands still. Ctrl-C ends a wait.
        """
        return self._worker.each(self._federation.follow(study, pace_s=pace_s))

    def model(self, study: str, version: int | None = None) -> NDArray[np.float32]:
        """As AsyncFederation.model."""
        return self._worker.run(self._federation.model(study, version))

    def export(
        self,
        study: str,
        path: str | Path,
        *,
        version: int | None = None,
        best: bool = False,
        folder: str | Path | None = None,
    ) -> "Exported":
        """As AsyncFederation.export."""
        return self._worker.run(self._federation.export(study, path, version=version, best=best, folder=folder))

    def version(self, study: str, n: int | None = None) -> NDArray[np.float32]:
        """The old name of `model`."""
        _old("version(...)", "model(...)")
        return self.model(study, n)

    def close(self) -> None:
        """End the thread; nothing can be asked afterwards."""
        self._worker.close()


class _Worker:
    """A loop in a thread of its own, begun with the first question."""

    def __init__(self, make: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._make = make
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            work.close()
            raise LocalError("this federation is closed", hint="make another one: Federation(...)")
        if self._loop is None:
            self._loop = self._make()
            threading.Thread(target=_run_and_close, args=[self._loop], name="federation", daemon=True).start()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def each(self, found: AsyncGenerator[T]) -> Iterator[T]:
        """One by one; whatever ends the loop over them ends the generator too."""
        try:
            while True:
                yield self.run(_call(found.__anext__))
        except StopAsyncIteration:
            return
        finally:
            if not self._closed:
                self.run(_call(found.aclose))

    def close(self) -> None:
        if self._loop is not None and not self._closed:
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._closed = True


def _run_and_close(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _call(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return await work()


def _old(what: str, instead: str) -> None:
    warnings.warn(f"{what} is the old way and goes with the next release: {instead}", DeprecationWarning, stacklevel=3)
