"""`python -m bench.commits`: brokers and leaders killed at commits; does each transaction count once, and whole?

A leader, a process of its own, writes a transaction on two topics. Some thousandths of a second after its records are
acknowledged the broker is killed, then the leader. The broker starts again, and a successor settles what it finds: what
the leader was told to be committed has to be readable on both topics, and nothing may be readable on one alone.

Knows:    a broker that starts again forgets the markers of some transactions (docs/decisions/0026): how many it counts.
Never:    runs anything but on the loopback.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.run import OUT
from ops.kafka import Broker
from runtime import logs
from schemas.errors import FederationError
from tests.broker.access import reach, start_broker
from transport.admin import Admin, TopicSpec
from transport.reading.log import read_to_end
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.writing.transactions import TransactionalWriter
from transport.writing.visible import ends_of

RUNS = 60
LATEST_MS = 4.0  # after the last acknowledgement; most commits are answered by then
START_S, ANSWER_S = 60.0, 0.3
TOPICS = ("rounds", "receipts")
IDENTITY = "leader"
SENT, COMMITTED = b"sent\n", b"committed\n"


@dataclass(frozen=True, slots=True)
class Found:
    """One kill: whether the leader heard of its commit, on which topics it was hidden, what can be read in the end."""

    after_ms: float
    answered: bool
    hidden: list[str]
    readable: list[int]  # records of the transaction, by topic

    @property
    def sentence(self) -> str:
        commit = "answered" if self.answered else "unanswered"
        hidden = f"hidden on {' and '.join(self.hidden)}, " if self.hidden else ""
        end = ("readable" if any(self.readable) else "taken back") if self.right else f"WRONG: {self.readable}"
        return f"killed after {self.after_ms:.1f} ms, commit {commit}, {hidden}{end}"

    @property
    def right(self) -> bool:
        return self.readable == [1, 1] or (self.readable == [0, 0] and not self.answered)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.commits", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("--lead", nargs=2, metavar=("BOOTSTRAP", "VALUE"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    logs.configure("critical")
    if chosen.lead:
        asyncio.run(_lead(*chosen.lead))
        return 0
    if chosen.runs < 1:
        parser.error(f"--runs {chosen.runs} is no number above 0")
    print(f"seed {chosen.seed}")
    try:
        found = asyncio.run(_measure(chosen.runs, random.Random(chosen.seed)))
    except KeyboardInterrupt:
        return 130
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "commits.json").write_text(json.dumps([asdict(one) for one in found], indent=1))
    hidden = sum(bool(one.hidden) for one in found)
    answered = sum(one.answered for one in found)
    wrong = sum(not one.right for one in found)
    print(f"{len(found)} kills, {answered} commits answered, {hidden} hidden, {wrong} wrong in the end")
    return 1 if wrong else 0


async def _lead(bootstrap: str, value: str) -> None:
    """One transaction, told of as it goes."""
    settings = reach(bootstrap, "leader")
    writer = TransactionalWriter(settings, Link(settings), IDENTITY)
    await writer.start()
    async with writer.transaction(len(TOPICS)) as transaction:
        for topic in TOPICS:
            await transaction.send(topic, value.encode())
        await transaction.acknowledged()
        sys.stdout.buffer.write(SENT)
        sys.stdout.flush()
    sys.stdout.buffer.write(COMMITTED)
    sys.stdout.flush()
    await asyncio.sleep(ANSWER_S * 10)  # an idle leader: it is to be killed before it looks


async def _measure(runs: int, moments: random.Random) -> list[Found]:
    with tempfile.TemporaryDirectory() as folder:
        broker = await asyncio.to_thread(start_broker, Path(folder) / "broker")
        settings = reach(broker.bootstrap, "successor", fetch_wait_ms=50)
        link, found = Link(settings), list[Found]()
        try:
            admin = Admin(settings, link)
            await admin.create_topics([TopicSpec(topic) for topic in TOPICS])
            await admin.close()
            for number in range(runs):
                found.append(await _kill_at_commit(broker, settings, link, number, moments.random() * LATEST_MS))
                print(f"{number + 1:3d}  {found[-1].sentence}", flush=True)
        finally:
            await asyncio.to_thread(broker.stop)
        return found


async def _kill_at_commit(broker: Broker, settings: KafkaSettings, link: Link, number: int, after_ms: float) -> Found:
    value = b"%d" % number
    leader = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.commits", "--lead", broker.bootstrap, value.decode(), stdout=PIPE
    )
    try:
        if await _said(leader, START_S) != SENT:
            raise FederationError("the leader ended before it had written")
        await asyncio.sleep(after_ms / 1000)
        await asyncio.to_thread(broker.kill)
        answered = await _said(leader, ANSWER_S) == COMMITTED
    finally:
        leader.kill()
        await leader.wait()
    broker.launch()
    await asyncio.to_thread(broker.wait_ready)
    successor = TransactionalWriter(settings, link, IDENTITY)
    await successor.start()
    everything = await ends_of(settings, link, TOPICS, committed=False)
    visible = await ends_of(settings, link, TOPICS, committed=True)
    await successor.settle(TOPICS)
    entries = await read_to_end(settings, link, TOPICS)
    await successor.close()
    readable = [sum((entry.topic, entry.value) == (topic, value) for entry in entries) for topic in TOPICS]
    return Found(after_ms, answered, [topic for topic in TOPICS if visible[topic] < everything[topic]], readable)


async def _said(leader: Process, seconds: float) -> bytes:
    """The leader's next line; empty when it says nothing in time."""
    assert leader.stdout is not None
    try:
        async with asyncio.timeout(seconds):
            return await leader.stdout.readline()
    except TimeoutError:
        return b""


if __name__ == "__main__":
    sys.exit(main())
