"""Look into a federation from a notebook or a command: its studies, their history, the versions themselves.

Knows:    the registrar's public key, and for versions one member's name and opening key.
Never:    writes anything; waits longer than 10 s for a broker that does not answer, except in `follow`, which goes on
          for ever. A long log takes longer: `progress` tells how far its reading is.
Used by:  notebooks, `wardround status`, `wardround report`, wardround.demo.

    async with Federation("broker:9092", registrar_key=Path("registrar.pub")) as federation:
        async for history in federation.follow("lung"):
            print(history.version, history.overall(history.version))

    with Federation.connect("broker:9092", registrar_key=Path("registrar.pub")) as federation:   # without await
        print(federation.history("lung").effective_shares())
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from audit.history import StudyHistory
from audit.study_log import StudyLog
from protocol.digests import model_subject
from protocol.directory import OLDER_HINT, Directory
from protocol.key_files import read_registrar_key
from protocol.roster_memory import RosterMemory
from protocol.sealing import ChunkOpener, OpenKey, open_epoch_box, open_epoch_key
from runtime.logs import logs_of_a_library
from schemas import topics
from schemas.errors import LocalError, PeerError
from schemas.plan import Plan
from schemas.records import BodyAt
from schemas.roster import Membership
from transport.admin import Admin, within
from transport.bodies import BodyReader
from transport.errors import BodyGone, TopicMissing
from transport.reading.log import EARLIEST, Entry, LogReader, each_to_end
from transport.reading.plain import whole_body
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.staying.patience import patient

if TYPE_CHECKING:
    from audit.models import Exported

BROKER_S = 10.0
PACE_S = 0.3
MISSING_S = 5.0  # how long until topics that the broker lacks are looked for again
Progress = Callable[[int, int], None]  # (records read, records there)
T = TypeVar("T")


class Federation:
    """A read-only view of one federation; use it with `async with`, or by `Federation.connect` without await."""

    def __init__(
        self,
        bootstrap: str,
        *,
        registrar_key: bytes | Path,
        member: str | None = None,
        opening_key: OpenKey | Path | None = None,
        memory: RosterMemory | None = None,
        progress: Progress = lambda done, total: None,
    ) -> None:
        """`registrar_key` is registrar.pub or its 32 bytes. `member` and its `opening_key` are needed for `version`.

        `memory` is of the newest roster met: beside the file of the opening key, where there is one.
        The coordinator's or an auditor's `opening_key`, also without `member`, opens what single sites measured.
        progress   called with the records read and those there, now and then, while a log is read
        """
        logs_of_a_library()
        self._settings = KafkaSettings(bootstrap=bootstrap, client_id="wardround-federation", fetch_wait_ms=100)
        self._link = Link(self._settings)
        self._progress = progress
        public = registrar_key if isinstance(registrar_key, bytes) else read_registrar_key(registrar_key)
        self._registrar = public
        self._member = member
        self._open_key = OpenKey.load(opening_key) if isinstance(opening_key, Path) else opening_key
        self._memory = memory
        if isinstance(opening_key, Path) and memory is None:
            self._memory = RosterMemory.beside(opening_key, public)

    @classmethod
    def connect(
        cls,
        bootstrap: str,
        *,
        registrar_key: bytes | Path,
        member: str | None = None,
        opening_key: OpenKey | Path | None = None,
        progress: Progress = lambda done, total: None,
    ) -> "Connection":
        """The same without `await`, for a notebook: see Connection. `progress` is called from its thread."""
        return Connection(
            cls(bootstrap, registrar_key=registrar_key, member=member, opening_key=opening_key, progress=progress)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def studies(self) -> dict[str, Plan]:
        """The published plans by study.

        Raises LocalError when every record is another registrar's, TransientError when the broker is not reached in
        10 s.
        """
        directory = await self._directory()
        return {plan.study: plan for plan, _ in directory.plans.values()}

    async def membership(self) -> Membership | None:
        """Who belongs, by the newest roster; None before the first. Raises TransientError as `studies`."""
        return (await self._directory()).membership

    async def history(self, study: str) -> StudyHistory:
        """The study's history up to now, of those of its topics that are there; it names the others.

        Of signs of life that say the same not all are read. Raises LocalError when there is no such study,
        TransientError as `studies`.
        """
        return (await self._study_log(study)).history

    async def follow(self, study: str, *, pace_s: float = PACE_S) -> AsyncGenerator[StudyHistory]:
        """The study's history, again whenever it has grown (the same object); over broken links, for ever.

        Reads at most every `pace_s` seconds: many records at once cost much less than one by one. Sites that join later
        are followed too; so are topics that the broker lacks, once it has them. Raises LocalError when there is no such
        study.
        """
        directory = await self._directory()
        followed = StudyLog(_plan(directory, study), directory, self._open_key)
        reader = LogReader(self._settings, self._link, thin=True)
        try:
            await _read_what_is_there(reader, followed)
            looked_s = time.monotonic()
            while True:
                entries = await reader.batch(records_max=1000)
                joined, missing = self._take(directory, followed, entries), followed.history.missing
                if joined:
                    await _read_what_is_there(reader, followed)
                elif time.monotonic() - looked_s > MISSING_S:
                    lacking = reader.gone().union(missing)
                    if await reader.missing(lacking) not in (None, frozenset(missing)):
                        await _read_what_is_there(reader, followed)
                    looked_s = time.monotonic()
                if entries or followed.history.missing != missing:
                    yield followed.history
                    await asyncio.sleep(pace_s)
        finally:
            await reader.close()

    async def version(self, study: str, n: int | None = None) -> NDArray[np.float32]:
        """The model's version `n` (the newest without it), float32 (p,); every byte is checked against the log.

        Raises LocalError without a member's keys, for a version that is not there or no longer kept, or when this
        member is not given the study's key.
        """
        if self._member is None or self._open_key is None:
            raise LocalError(
                "opening a version needs a member's keys",
                hint="Federation(..., member=NAME, opening_key=Path('NAME.open'))",
            )
        log = await self._study_log(study, topics.keys(study))
        number = log.history.version if n is None else n
        if number not in log.models:
            newest = log.history.version
            said = f"version {number}" if newest >= 0 else "version yet"
            hint = f"the newest is {newest}" if newest >= 0 else "the coordinator publishes version 0 when it runs"
            raise LocalError(f"study {study} has no {said}", hint=hint)
        body, epoch = log.models[number]
        opener = self._opener(log, number, body, epoch)
        return await self._bounded(self._fetch(study, number, body, opener))

    async def export(
        self, study: str, path: Path, *, version: int | None = None, best: bool = False, folder: Path | None = None
    ) -> "Exported":
        """Write a version (the newest without `version` or `best`) to `path` as safetensors, whole or not at all.

        best     the version that its sites judged best, of those still kept; see audit.models.best_version
        folder   of the study's task.py; without it the plan's entry is imported
        Raises LocalError as `version` does, and when the task here is not the one that the plan approves.
        """
        from audit.models import choose, export_version, header_of

        history = await self.history(study)
        number, remarks = choose(history, version, best=best)
        header = header_of(history, number)
        return export_version(path, await self.version(study, number), header, folder, remarks)

    async def _directory(self) -> Directory:
        directory = Directory(self._registrar, self._memory)
        fed: list[bool] = []

        def take(entry: Entry) -> None:
            if entry.value is not None:
                fed.append(_feed(directory, entry))

        await self._read([topics.MEMBERS, topics.PLANS], take)
        if fed and not any(fed):
            raise LocalError(
                f"the log at {self._settings.bootstrap} belongs to another registrar",
                hint="is it the right broker (--broker), and the right registrar.pub (--registrar)?",
            )
        if directory.behind:
            raise LocalError(directory.behind, hint=OLDER_HINT)
        return directory

    async def _study_log(self, study: str, *also: str) -> StudyLog:
        directory = await self._directory()
        log = StudyLog(_plan(directory, study), directory, self._open_key)
        there = await self._existing([*log.topic_names(), *also])
        if not there.issuperset(also):
            raise TopicMissing(set(also) - there, self._settings.bootstrap)
        log.history.missing = tuple(name for name in log.topic_names() if name not in there)
        log.history.forbidden = tuple(sorted(await self._forbidden(log.history.missing)))

        def take(entry: Entry) -> None:
            log.feed(entry.topic, entry.value, entry.timestamp_ms, entry.since_ms)

        await self._read([name for name in [*log.topic_names(), *also] if name in there], take)
        return log

    async def _existing(self, names: Iterable[str]) -> set[str]:
        admin = Admin(self._settings, self._link)
        try:
            return await self._bounded(admin.existing(names))
        finally:
            await admin.close()

    async def _forbidden(self, names: Sequence[str]) -> frozenset[str]:
        admin = Admin(self._settings, self._link)
        try:
            return await self._bounded(admin.forbidden(names)) if names else frozenset()
        finally:
            await admin.close()

    def _take(self, directory: Directory, log: StudyLog, entries: Iterable[Entry]) -> bool:
        """Feed a batch; True when sites have joined, whose topics have to be read from now on."""
        before = set(log.history.sites)
        registrar = [entry for entry in entries if entry.topic in (topics.MEMBERS, topics.PLANS)]
        for entry in registrar:
            _feed(directory, entry)
        if registrar:
            log.meet_sites()
        for entry in entries:
            if entry.topic not in (topics.MEMBERS, topics.PLANS):
                log.feed(entry.topic, entry.value, entry.timestamp_ms, entry.since_ms)
        return set(log.history.sites) != before

    def _opener(self, log: StudyLog, number: int, body: BodyAt, epoch: int) -> ChunkOpener:
        assert self._member is not None
        assert self._open_key is not None
        key = log.epoch_keys.get((epoch, self._member))
        if key is None or key.key_id != self._open_key.key_id:
            raise LocalError(
                f"{self._member} was not given the key of epoch {epoch} of study {log.study}",
                hint="members get the key when they are on the roster; is this the key file of that member?",
            )
        epoch_key = open_epoch_key(self._open_key, log.study, epoch, self._member, key.box)
        subject = model_subject(log.study, number)
        return ChunkOpener(open_epoch_box(epoch_key, body.body.boxes), subject, body.body.count)

    async def _fetch(self, study: str, number: int, body: BodyAt, opener: ChunkOpener) -> NDArray[np.float32]:
        reader = BodyReader(self._settings, self._link)
        try:
            whole = await whole_body(reader, topics.models(study), body, opener)
        except BodyGone:
            raise LocalError(
                f"version {number} of {study} is no longer kept", hint="only the newest versions stay on the broker"
            ) from None
        finally:
            await reader.close()
        return np.frombuffer(whole, dtype="<f4").astype(np.float32, copy=False)

    async def _read(self, names: Iterable[str], take: Callable[[Entry], object]) -> None:
        """Hand over what is on the topics, however long that takes, as long as the reading gets on."""
        async with patient(self._link, BROKER_S) as renew:

            def moved(done: int, total: int) -> None:
                renew()
                self._progress(done, total)

            reading = each_to_end(self._settings, self._link, names, thin=True, moved=moved)
            async with aclosing(reading):
                async for entry in reading:
                    take(entry)

    def _bounded(self, awaitable: Awaitable[T]) -> Awaitable[T]:
        return within(awaitable, BROKER_S, self._link)


class Connection:
    """A Federation for code without `await`: it runs in a thread of its own, so it works in a notebook too."""

    def __init__(self, federation: Federation) -> None:
        self._federation = federation
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="federation", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def studies(self) -> dict[str, Plan]:
        """As Federation.studies."""
        return self._run(self._federation.studies())

    def history(self, study: str) -> StudyHistory:
        """As Federation.history."""
        return self._run(self._federation.history(study))

    def membership(self) -> Membership | None:
        """As Federation.membership."""
        return self._run(self._federation.membership())

    def follow(self, study: str, *, pace_s: float = PACE_S) -> Iterator[StudyHistory]:
        """As Federation.follow: the same history again whenever it has grown, for ever; `break` when it is `final`.

        Between two turns the history stands still. Ctrl-C ends a wait.
        """
        histories = self._federation.follow(study, pace_s=pace_s)
        try:
            while True:
                yield self._run(_next(histories))
        finally:
            if not self._loop.is_closed():
                self._run(_end(histories))

    def version(self, study: str, n: int | None = None) -> NDArray[np.float32]:
        """As Federation.version."""
        return self._run(self._federation.version(study, n))

    def export(
        self, study: str, path: Path, *, version: int | None = None, best: bool = False, folder: Path | None = None
    ) -> "Exported":
        """As Federation.export."""
        return self._run(self._federation.export(study, path, version=version, best=best, folder=folder))

    def close(self) -> None:
        """End the thread; the connection is of no use afterwards."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


async def _next(histories: AsyncGenerator[StudyHistory]) -> StudyHistory:
    return await anext(histories)


async def _end(histories: AsyncGenerator[StudyHistory]) -> None:
    await histories.aclose()


def _feed(directory: Directory, entry: Entry) -> bool:
    """Take one record; False when somebody else than the registrar wrote it: of no account then."""
    try:
        directory.feed(entry.topic, entry.key, entry.value)
    except PeerError:
        return False
    return True


def _plan(directory: Directory, study: str) -> Plan:
    found = [plan for plan, _ in directory.plans.values() if plan.study == study]
    if not found:
        known = ", ".join(sorted(plan.study for plan, _ in directory.plans.values())) or "none"
        raise LocalError(f"no study {study} on this federation", hint=f"published studies: {known}")
    return found[-1]


async def _read_what_is_there(reader: LogReader, log: StudyLog) -> None:
    """Follow those of the study's topics that the broker has, and note the others."""
    known, names = reader.positions(), [topics.MEMBERS, topics.PLANS, *log.topic_names()]
    missing, closed = frozenset[str](), frozenset[str]()
    while True:
        try:
            await reader.assign({topic: known.get(topic, EARLIEST) for topic in names if topic not in missing})
            break
        except TopicMissing as error:
            missing |= error.topics
            closed |= error.forbidden
    log.history.missing = tuple(name for name in names if name in missing)
    log.history.forbidden = tuple(sorted(closed))
