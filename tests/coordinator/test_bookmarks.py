"""When a bookmark is written and when one is used: never needed, never believed blindly."""

from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio

from coordinator.core.bookmark import Marked
from coordinator.shell import bookmarks
from coordinator.shell.bookmarks import Bookmarks, Heard
from protocol.digests import bookmark_subject
from protocol.sealing import OpenKey, seal_content
from protocol.signing import SigningKey
from schemas.errors import PeerError
from schemas.records import Bookmark, Measured, Memory, Signed
from tests.coordinator.driver import Driver
from tests.coordinator.plans import plan_of
from transport.reading.log import Entry

PLAN = plan_of(goal=2)
KEY, STRANGER = SigningKey.generate(), SigningKey.generate()
OPENING, OTHER = OpenKey.generate(), OpenKey.generate()
MEMORY = Memory(0.75, (("a", 0.5),), (Measured("a", bytes(32), 0.7, 9.0),))
GOOD = Marked(
    PLAN.study, PLAN.digest, 3, (("a", 7),), Memory(0.75, (("a", 0.5),), (Measured("a", bytes(32), 0.7, 9.0),))
)


def sealed(marked: Marked, opening: OpenKey = OPENING, key: SigningKey = KEY) -> bytes:
    """As it lies on the topic."""
    subject = bookmark_subject(marked.study, marked.version)
    memory = seal_content({"coordinator": opening.public}, subject, marked.memory.to_bytes())
    return key.sign(Bookmark(marked.study, marked.plan, marked.version, marked.positions, memory)).to_bytes()


class Passed:
    """Counts what was passed over."""

    count = 0

    def passed_over(self, _study: str, _entry: Entry, _error: PeerError) -> None:
        self.count += 1


class Federation:
    """Services of a coordinator, as far as bookmarks need them; `written` is what came on the topic."""

    name, signer, opening = "coordinator", KEY, OPENING

    def __init__(self) -> None:
        self.written: list[Bookmark] = []
        self.strangers, self.coordinator = Passed(), "coordinator"
        self.exists = self.visible = True
        self.admin = self.writer = self.transactions = self.membership = self

    def signing_key(self, _name: str, key_id: bytes) -> bytes:
        if key_id != KEY.key_id:
            raise PeerError("nobody's key", code="stranger")
        return KEY.public

    def opening_key(self, _name: str) -> OpenKey:
        return OPENING

    async def existing(self, names: Iterable[str]) -> set[str]:
        return set(names) if self.exists else set()

    async def seen(self, _topics: Iterable[str]) -> bool:
        return self.visible

    async def send(self, _topic: str, value: bytes, _key: bytes) -> None:
        self.written.append(Bookmark.from_bytes(Signed.from_bytes(value).payload))


@pytest.fixture
def federation() -> Federation:
    return Federation()


@pytest_asyncio.fixture
async def kept(federation: Federation) -> Bookmarks:
    return Bookmarks(cast(Any, federation), PLAN)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now_s=0.0)
    monkeypatch.setattr(bookmarks, "now_ms", lambda: 1000 * clock.now_s)
    return clock


async def found(kept: Bookmarks, monkeypatch: pytest.MonkeyPatch, *values: bytes | None) -> Marked | None:
    async def last(_services: object, topic: str, count: int) -> list[Entry]:
        return [Entry(topic, offset, 0, None, value) for offset, value in enumerate(values)][-count:]

    monkeypatch.setattr(bookmarks, "_last", last)
    return await kept.read(3)


async def test_a_bookmark_is_used_and_tells_where_to_begin(kept: Bookmarks, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await found(kept, monkeypatch, sealed(GOOD)) == GOOD
    assert (kept.start("a"), kept.start("b")) == (7, 0)
    kept.forget("a")
    assert kept.start("a") == 0


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"noise",
        sealed(GOOD, key=STRANGER),
        sealed(replace(GOOD, plan=bytes(32))),
        sealed(replace(GOOD, study="other")),
        sealed(replace(GOOD, version=4)),
        sealed(GOOD, OTHER),
    ],
    ids=[
        "nothing",
        "noise",
        "a stranger's",
        "of another plan",
        "of another study",
        "of a version that is not there",
        "sealed to another",
    ],
)  # fmt: skip
async def test_one_that_cannot_be_believed_is_left_aside(
    kept: Bookmarks, monkeypatch: pytest.MonkeyPatch, value: bytes | None
) -> None:
    assert await found(kept, monkeypatch, value) is None
    assert kept.start("a") == 0


@pytest.mark.parametrize("others", [1, 15, 16, 300])
async def test_one_is_found_behind_what_others_wrote(
    federation: Federation, kept: Bookmarks, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    values = [sealed(replace(GOOD, version=2)), sealed(GOOD), *[sealed(GOOD, key=STRANGER)] * others]
    assert await found(kept, monkeypatch, *values) == GOOD
    assert federation.strangers.count == others


async def test_a_topic_full_of_others_records_is_not_read_for_ever(
    kept: Bookmarks, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await found(kept, monkeypatch, sealed(GOOD), *[b"noise"] * 5000) is None


def test_the_first_is_due_after_a_while_and_the_next_when_there_was_much_to_read(
    federation: Federation, clock: SimpleNamespace
) -> None:
    kept = Bookmarks(cast(Any, federation), PLAN)
    assert not kept.due(5000)
    clock.now_s = 31.0
    assert kept.due(0)
    clock.now_s = 1000.0
    assert not kept.due(1023)
    assert kept.due(1)
    assert not kept.due(5000), "not more than one in half a minute"


async def test_nothing_is_written_while_a_broker_hides_what_was_committed(
    federation: Federation, kept: Bookmarks
) -> None:
    core = Driver(PLAN, ("a", "b")).core
    federation.visible = False
    await kept.write(Heard({"a": 9}), core, ())
    assert federation.written == []
    federation.visible = True
    await kept.write(Heard({"a": 9}), core, ())
    assert [one.positions for one in federation.written] == [(("a", 9),)]


async def test_a_topic_that_is_made_later_is_written_to(federation: Federation, kept: Bookmarks) -> None:
    core = Driver(PLAN, ("a", "b")).core
    federation.exists = False
    assert await kept.read(0) is None
    await kept.write(Heard({"a": 9}), core, ())
    federation.exists = True
    await kept.write(Heard({"b": 2}), core, ())
    assert [one.positions for one in federation.written] == [(("a", 9), ("b", 2))]
