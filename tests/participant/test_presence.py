"""Presence: told on a change, not too often, and in the ledger."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from participant.core.effects import State
from participant.settings import Policy
from participant.shell import presence
from participant.shell.gate import Gate
from participant.shell.presence import PresenceTeller
from participant.shell.store import Store
from protocol.signing import SigningKey, verify
from schemas.records import Presence, Signed, SiteState, Trouble
from transport.errors import TopicMissing


class Topic:
    """Where a Writer would send; `sent` are the states told, in order."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key
        self.sent: list[dict[str, int]] = []
        self.troubles: tuple[tuple[str, int, int], ...] = ()
        self.missing = 0  # so often it is not there
        self.heard = asyncio.Semaphore(0)  # one for each message

    async def send(self, topic: str, value: bytes) -> int:
        assert topic == "wardround.offers.site-1"
        if self.missing:
            self.missing -= 1
            raise TopicMissing([topic], "broker:9092", wanted="write")
        told = verify(Signed.from_bytes(value), Presence, self._key.public)
        self.sent.append(dict(told.states))
        self.troubles = told.troubles
        self.heard.release()
        return len(self.sent)


async def told(
    tmp_path: Path,
    *,
    interval_min_s: float,
    period_s: float,
    missing: int = 0,
    messages: int = 0,
    believed: bool = True,
    troubles: Sequence[tuple[str, Trouble, int]] = (),
    lost: Sequence[str] = (),
) -> tuple[Topic, Store]:
    """Three changes at once, then quiet, for 0.2 s and until there were `messages`; the topic is `missing` so often."""
    key, store = SigningKey.generate(), Store(tmp_path, "site-1")
    topic = Topic(key)
    topic.missing = missing
    teller = PresenceTeller(
        "site-1",
        "wardround",
        signer=lambda: key,
        writer=topic,  # type: ignore[arg-type]  # a topic in memory
        gate=Gate(Policy()),
        store=store,
        period_s=period_s,
        interval_min_s=interval_min_s,
        believed=lambda: believed,
    )
    running = asyncio.create_task(teller.run())
    for study, what, count in troubles:
        teller.show_trouble(study, what, count)
    for study in lost:
        teller.lost_trainer(study)
    for state in (State.IDLE, State.FETCHING, State.TRAINING):
        teller.show("demo", state)
    await asyncio.sleep(0.2)
    async with asyncio.timeout(30):
        for _ in range(messages):
            await topic.heard.acquire()
    running.cancel()
    teller.list_now()
    return topic, store


async def test_what_fails_is_told_beside_the_state_and_what_does_not_is_not(tmp_path: Path) -> None:
    troubles = [("demo", Trouble.TRAIN, 2), ("demo", Trouble.SEND, 0), ("never-shown", Trouble.FETCH, 3)]
    topic, _ = await told(tmp_path, interval_min_s=0.01, period_s=60, troubles=troubles, lost=["demo", "demo"])
    assert topic.troubles == (("demo", Trouble.TRAINER, 2), ("demo", Trouble.TRAIN, 2))


async def test_changes_that_follow_each_other_are_told_as_one(tmp_path: Path) -> None:
    topic, store = await told(tmp_path, interval_min_s=0.01, period_s=60)
    assert topic.sent == [{"demo": SiteState.TRAINING}]
    store.flush()
    assert [line[5] for line in store.ledger()] == ["presence"]


async def test_a_quiet_site_is_heard_of_now_and_then(tmp_path: Path) -> None:
    topic, _ = await told(tmp_path, interval_min_s=0.01, period_s=0.02, messages=2)
    assert len(topic.sent) > 1
    assert all(states == {"demo": SiteState.TRAINING} for states in topic.sent)


async def test_without_its_topic_a_site_says_so_once_and_tells_its_state_once_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(presence, "AGAIN_S", 0.01)
    topic, _ = await told(tmp_path, interval_min_s=0.01, period_s=60, missing=3, messages=1)
    assert topic.sent == [{"demo": SiteState.TRAINING}]
    assert capsys.readouterr().out.count("this site's topic is missing") == 1


async def test_a_site_whose_key_the_roster_does_not_know_tells_nothing_that_nobody_would_believe(
    tmp_path: Path,
) -> None:
    topic, _ = await told(tmp_path, interval_min_s=0.01, period_s=0.02, believed=False)
    assert topic.sent == []
