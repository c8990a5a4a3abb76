"""One process' way to the log in memory: transport's ports, each step of which may be the last one of the process.

Knows:    a step is a word to the broker, or its answer to one that changed the log: a process dies before either.
Never:    lets a dead process do anything: what it still asks is never answered.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.errors import LocalError
from simulation.ports.memory import MemoryLog
from transport.errors import BodyGone, TopicMissing
from transport.ports import Runs, Write
from transport.reading.entry import Entry
from transport.reading.log import EARLIEST, LATEST

STEP_S = 0.001
LOOK_S = 0.05
_BOOTSTRAP = "memory"


@dataclass(slots=True)
class Life:
    """The steps of a process, by name, and the one at which it dies: "before write rounds", "after send models"."""

    log: MemoryLog
    dies_at: int | None = None
    die: Callable[[], object] = lambda: None
    dead: bool = False
    steps: list[str] = field(default_factory=list)

    async def before(self, word: str) -> None:
        """A word goes out; it takes a while."""
        await self._step(f"before {word}")
        await asyncio.sleep(STEP_S)
        await self.alive()

    async def after(self, word: str) -> None:
        """It was done, and the answer comes back."""
        await self._step(f"after {word}")

    async def alive(self) -> None:
        """Never returns to a dead process."""
        if self.dead:
            await asyncio.Event().wait()

    async def _step(self, name: str) -> None:
        if len(self.steps) == self.dies_at and not self.dead:
            self.dead = True
            self.die()
        self.steps.append(name)
        await self.alive()


def _short(topic: str) -> str:
    return topic.rpartition(".")[2]


class Reader:
    """transport.ports.Reads."""

    def __init__(self, life: Life, *, committed: bool) -> None:
        self._life, self._log, self._committed = life, life.log, committed
        self._positions: dict[str, int] = {}
        self._paused: set[str] = set()
        self._wake = asyncio.Event()

    @property
    def lost(self) -> Mapping[str, int]:
        return {}

    async def assign(self, positions: Mapping[str, int]) -> None:
        """Raises TopicMissing naming topics that are not there."""
        await self._life.before("assign")
        if missing := positions.keys() - self._log.topics.keys():
            raise TopicMissing(missing, _BOOTSTRAP)
        self._positions = {topic: self._begins(topic, offset) for topic, offset in positions.items()}
        self._paused &= positions.keys()

    def _begins(self, topic: str, offset: int) -> int:
        first, end = self._log.topics[topic].first, self._end(topic)
        return {EARLIEST: first, LATEST: end}.get(offset, max(offset, first))

    async def batch(self, *, records_max: int = 256, wait_ms: int = 500) -> list[Entry]:
        """As LogReader.batch."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + wait_ms / 1000
        while not (entries := self._take(records_max)):
            if (left_s := until_s - loop.time()) <= 0:
                break
            await asyncio.sleep(min(LOOK_S, left_s))
        await self._life.alive()
        return entries

    def _take(self, records_max: int) -> list[Entry]:
        taken: list[Entry] = []
        for topic in [topic for topic in self._positions if topic not in self._paused]:
            found, self._positions[topic] = self._log.topics[topic].read(
                self._positions[topic], records_max - len(taken), committed=self._committed
            )
            taken += found
        return taken

    def pause(self, *topics: str) -> None:
        self._paused.update(topics)

    def resume(self, *topics: str) -> None:
        self._paused.difference_update(topics)

    def positions(self) -> dict[str, int]:
        return dict(self._positions)

    def gone(self) -> frozenset[str]:
        return frozenset()

    async def missing(self, topics: Iterable[str]) -> frozenset[str] | None:
        return frozenset(topics) - self._log.topics.keys()

    async def ends(self, topics: Iterable[str] | None = None) -> dict[str, int]:
        await self._life.before("ends")
        return {topic: self._end(topic) for topic in (self._positions if topics is None else topics)}

    def _end(self, topic: str) -> int:
        there = self._log.topics[topic]
        return there.stable_end if self._committed else there.end

    async def reached(self, ends: Mapping[str, int]) -> bool:
        return all(self._positions.get(topic, -1) >= offset for topic, offset in ends.items())

    async def fetched(self) -> dict[str, int]:
        return self.positions()

    async def close(self) -> None:
        """Nothing is held."""


class Sender:
    """transport.ports.Sends and Uploads: what one process sends outside of transactions."""

    def __init__(self, life: Life) -> None:
        self._life, self._log = life, life.log

    async def start(self) -> None:
        """Nothing has to be connected."""

    async def send(self, topic: str, value: bytes | memoryview, key: bytes | None = None) -> int:
        """Raises TopicMissing."""
        word = f"send {_short(topic)}"
        await self._life.before(word)
        if topic not in self._log.topics:
            raise TopicMissing({topic}, _BOOTSTRAP)
        offset = self._log.append(topic, bytes(value), key)
        await self._life.after(word)
        return offset

    async def upload(
        self,
        topic: str,
        count: int,
        chunk: Callable[[int], bytes | memoryview],
        *,
        ready: Callable[[int], Awaitable[None]] | None = None,
    ) -> Runs:
        """As BodyWriter.upload; bodies of two processes lie between each other."""
        runs: list[tuple[int, int]] = []
        for index in range(count):
            if ready is not None:
                await ready(index)
            runs.append((await self.send(topic, chunk(index)), 1))
        return tuple(runs)

    async def close(self) -> None:
        """Nothing is held."""


class Bodies:
    """transport.ports.Fetches."""

    def __init__(self, life: Life) -> None:
        self._life, self._log = life, life.log

    async def chunks(
        self, topic: str, runs: Sequence[tuple[int, int]], *, checked: bool = False
    ) -> AsyncGenerator[bytes, None]:
        async for values in self.batches(topic, runs, checked=checked):
            for value in values:
                yield value

    async def batches(
        self, topic: str, runs: Sequence[tuple[int, int]], *, checked: bool = False
    ) -> AsyncGenerator[list[bytes], None]:
        """Raises BodyGone where no chunk lies any more."""
        for first, count in runs:
            await self._life.before(f"fetch {_short(topic)}")
            found, _ = self._log.topics[topic].read(first, count, committed=False)
            values = [entry.value for entry in found if entry.value is not None and entry.offset < first + count]
            if len(values) < count:
                raise BodyGone(topic, first + len(values))
            yield values

    async def close(self) -> None:
        """Nothing is held."""


class Admin:
    """transport.ports.Administers."""

    def __init__(self, life: Life) -> None:
        self._life, self._log = life, life.log

    async def existing(self, names: Iterable[str]) -> set[str]:
        await self._life.before("existing")
        return set(names) & self._log.topics.keys()

    async def describe(self, topic: str) -> dict[str, str]:
        return dict(self._log.topics[topic].settings)

    async def trim(self, topic: str, before_offset: int) -> None:
        """Raises LocalError for what ends before."""
        await self._life.before(f"trim {_short(topic)}")
        if before_offset > self._log.topics[topic].end:
            raise LocalError(f"{topic} ends before {before_offset}")
        self._log.trim(topic, before_offset)

    async def close(self) -> None:
        """Nothing is held."""


class Transactions:
    """transport.ports.Commits. A process may die with its records written and nothing decided."""

    def __init__(self, life: Life, transactional_id: str) -> None:
        self._life, self._log, self._id = life, life.log, transactional_id
        self._epoch = -1
        self._one_at_a_time = asyncio.Lock()

    async def start(self) -> None:
        await self._life.before("begin")
        self._epoch = self._log.begin(self._id)

    def watch(self, ends: Mapping[str, int]) -> None:
        """The fence is never made anew here."""

    def forget(self, topics: Iterable[str]) -> None:
        """Nothing is remembered."""

    async def settle(self, topics: Iterable[str]) -> None:
        """`begin` has decided what a predecessor left open. Raises TopicMissing, Fenced."""
        await self._life.before("settle")
        if missing := set(topics) - self._log.topics.keys():
            raise TopicMissing(missing, _BOOTSTRAP)
        self._log.check(self._id, self._epoch)

    async def keep_visible(self) -> None:
        await asyncio.Event().wait()

    async def seen(self, topics: Iterable[str]) -> bool:
        return True

    async def write(self, records: Iterable[Write]) -> None:
        """Raises Fenced."""
        records = list(records)
        async with self._one_at_a_time:
            what = " and ".join(sorted({_short(topic) for topic, _, _ in records}))
            await self._life.before(f"write {what}")
            transaction = self._log.open(self._id, self._epoch)
            for topic, value, key in records:
                self._log.append(topic, value, key, within=transaction)
            await self._life.before(f"commit {what}")
            self._log.commit(self._id, self._epoch)
            await self._life.after(f"commit {what}")

    async def close(self) -> None:
        """What is open stays open, as for a process that was killed."""


@dataclass(frozen=True, slots=True)
class Connection:
    """transport.ports.Opens, of one process."""

    life: Life

    @property
    def bootstrap(self) -> str:
        return _BOOTSTRAP

    def reader(self, *, committed: bool = True, fetch_wait_ms: int | None = None) -> Reader:
        return Reader(self.life, committed=committed)

    def transactions(self, transactional_id: str) -> Transactions:
        return Transactions(self.life, transactional_id)


class Calm:
    """transport.ports.Waits: a link that never fails."""

    async def backoff(self) -> None:
        await asyncio.sleep(1.0)
