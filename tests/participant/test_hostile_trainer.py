"""Whatever a trainer writes: the study at work notices, the trainer is replaced, and nothing else happens."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import msgpack
import numpy as np
import pytest
import pytest_asyncio
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from participant.training import answers
from participant.training.channel import GarbledError, Inbox, Message, pack, receive, unpack
from participant.training.client import Load, Trainer
from participant.training.launch import Connection, Launcher, TrainerLostError

LOADED = {
    "kind": "done", "parameters": 2, "metric": "mse", "higher_is_better": False, "examples": 12, "bytes_data": 96,
    "records": 0, "bad_records": 0, "set_aside": [], "labels": [],
}  # fmt: skip
Peer = Callable[[Message], bytes]


class Scripted(Launcher):
    """Trainers that are threads here: `peer` says what each writes when it is asked."""

    def __init__(self, peer: Peer) -> None:
        super().__init__(None, [])
        self.peer, self.opened = peer, 0
        self._tasks: set[asyncio.Future[None]] = set()

    async def open(self) -> Connection:
        self.opened += 1
        ours, theirs = socket.socketpair()
        connection = Connection(ours, *await asyncio.open_unix_connection(sock=ours))
        self._tasks.add(asyncio.ensure_future(asyncio.to_thread(self._serve, theirs)))
        await connection.greet(0)
        return connection

    def frames(self, message: Message) -> Iterator[bytes]:
        """All that is written for one request."""
        yield self.peer(message)

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                sock.sendall(pack({"kind": "hello"}))
                while (message := receive(sock)) is not None:
                    for frame in self.frames(message):
                        sock.sendall(frame)
                    for handle in message["files"]:
                        os.close(handle)
            except OSError:
                return


def done(message: Message, **more: Any) -> bytes:
    return pack({"kind": "done", "id": message["id"], **more})


def answering(evil: Peer) -> Peer:
    """A trainer that loads as it should, and answers everything else with what `evil` makes."""
    return lambda message: done(message, **LOADED) if message["kind"] == "load" else evil(message)


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


HOSTILE: dict[str, Peer] = {
    "a list": lambda _: framed(msgpack.packb([1])),
    "garbage": lambda _: framed(b"\xc1\xff\x00garbage"),
    "garbage without a length": lambda _: b"\xff" * 64,
    "a frame of 4 GB": lambda _: b"\xff\xff\xff\xff",
    "nested too deep": lambda _: framed(b"\x91" * 5000),
    "no kind": lambda message: framed(msgpack.packb({"id": message["id"]})),
    "a number for a name": lambda _: framed(msgpack.packb({1: 2, "kind": "done"})),
    "no id": lambda _: pack({"kind": "done"}),
    "an id of tomorrow": lambda message: pack({"kind": "done", "id": message["id"] + 1, "values": {}}),
    "an id that is none": lambda _: pack({"kind": "done", "id": "one", "values": {}}),
    "true for an id": lambda _: pack({"kind": "done", "id": True, "values": {}}),
    "another kind": lambda message: pack({"kind": "hello", "id": message["id"]}),
    "no values": done,
    "values that are a list": lambda message: done(message, values=[1.0]),
    "a value that is a text": lambda message: done(message, values={"accuracy": "x"}),
    "a value that is true": lambda message: done(message, values={"accuracy": True}),
    "too many values": lambda message: done(message, values={f"m{i}": 0.5 for i in range(2000)}),
    "a failure without a reason": lambda message: pack({"kind": "failed", "id": message["id"]}),
    "a failure for a reason of its own": lambda message: pack(
        {"kind": "failed", "id": message["id"], "reason": "boredom", "message": "", "hint": ""}
    ),
    "progress that is no number": lambda message: pack({"kind": "progress", "id": message["id"], "share": "half"}),
    "progress that is not finite": lambda message: pack(
        {"kind": "progress", "id": message["id"], "share": float("nan")}
    ),
    "a flood of progress": lambda message: 5000 * pack({"kind": "progress", "id": message["id"], "share": 0.5}),
    "a flood about what is over": lambda _: 5000 * pack({"kind": "done", "id": 0}),
}


@pytest_asyncio.fixture
async def made() -> AsyncIterator[list[Trainer]]:
    trainers: list[Trainer] = []
    yield trainers
    for trainer in trainers:
        trainer.close()


@pytest.fixture
def vector(tmp_path: Path) -> Path:
    np.zeros(2, "<f4").tofile(tmp_path / "base.f32")
    return tmp_path / "base.f32"


async def measured(trainer: Trainer, vector: Path) -> dict[str, float]:
    return await trainer.evaluate("demo", vector=vector, resamples=0, seed=0, limit_s=20)


async def loaded_by(made: list[Trainer], evil: Peer) -> tuple[Trainer, Scripted]:
    launcher = Scripted(answering(evil))
    trainer = Trainer(launcher)
    made.append(trainer)
    await trainer.load(Load("demo", "some.task:task", bytes(32), "site-1", None, {}))
    return trainer, launcher


@pytest.mark.parametrize("evil", HOSTILE.values(), ids=HOSTILE.keys())
async def test_what_no_trainer_writes_costs_the_trainer_and_the_work_at_hand(
    made: list[Trainer], vector: Path, evil: Peer
) -> None:
    trainer, launcher = await loaded_by(made, evil)
    with pytest.raises(TrainerLostError, match="no trainer writes") as lost:
        await measured(trainer, vector)
    assert lost.value.reason == "garbled"
    launcher.peer = answering(lambda message: done(message, values={"mse": 0.5}))
    assert await measured(trainer, vector) == {"mse": 0.5}
    assert launcher.opened == 2


@pytest.mark.parametrize("answer", [{**LOADED, "parameters": -1}, {**LOADED, "set_aside": [[1, 2]]}, {"kind": "done"}])
async def test_a_study_that_loads_with_such_an_answer_is_not_loaded(
    made: list[Trainer], answer: dict[str, Any]
) -> None:
    trainer = Trainer(Scripted(lambda message: done(message, **answer)))
    made.append(trainer)
    with pytest.raises(TrainerLostError, match="no trainer writes"):
        await trainer.load(Load("demo", "some.task:task", bytes(32), "site-1", None, {}))


async def test_a_metric_that_is_no_number_is_dropped_and_said_once(made: list[Trainer], vector: Path) -> None:
    values = {"auc": float("nan"), "mse": 0.5, "loss": float("inf"), "patient 4711": 1.0}
    trainer, launcher = await loaded_by(made, lambda message: done(message, values=values))
    with structlog.testing.capture_logs() as logs:
        assert await measured(trainer, vector) == {"mse": 0.5}
        assert await measured(trainer, vector) == {"mse": 0.5}
    assert launcher.opened == 1
    assert sorted((line["study"], line.get("metric", "")) for line in logs if "dropped" in line["event"]) == [
        ("demo", ""),
        ("demo", "auc"),
        ("demo", "loss"),
    ]
    assert "4711" not in str(logs)


@pytest.mark.parametrize("words", [1, 3])
@pytest.mark.parametrize("seconds", [0.5, float("nan")])
async def test_an_update_is_as_long_as_the_model_and_took_a_time_that_is_one(
    made: list[Trainer], vector: Path, tmp_path: Path, words: int, seconds: float
) -> None:
    def evil(message: Message) -> bytes:
        os.write(message["files"][1], bytes(4 * (words if seconds == 0.5 else 2)))
        return done(message, seconds=seconds)

    trainer, _ = await loaded_by(made, evil)
    with (
        (tmp_path / "out").open("w+b") as out,
        pytest.raises(TrainerLostError, match="no trainer writes"),
    ):  # one small file
        await trainer.train("demo", base=vector, out=out, training={}, seed=0, limit_s=20)


async def test_a_trainer_that_does_not_read_is_replaced_and_nobody_waits_for_it(
    made: list[Trainer], vector: Path
) -> None:
    trainer, launcher = await loaded_by(made, lambda message: done(message, values={}))
    connection = cast(Connection, trainer._calls._connection)
    connection._writer.write(bytes(8_000_000))  # more than any socket holds
    with pytest.raises(TrainerLostError, match="does not read"):
        await measured(trainer, vector)
    assert await measured(trainer, vector) == {}
    assert launcher.opened == 2


class Endless(Scripted):
    """Loads as it should, and tells of progress for ever when it is asked for anything else."""

    def frames(self, message: Message) -> Iterator[bytes]:
        if message["kind"] == "load":
            yield done(message, **LOADED)
            return
        while True:
            time.sleep(0.05)
            yield pack({"kind": "progress", "id": message["id"], "share": 0.5})


async def test_a_measurement_that_tells_of_progress_for_ever_comes_to_an_end(made: list[Trainer], vector: Path) -> None:
    trainer = Trainer(Endless(done), grace_s=2.0, measure_s=0.5)
    made.append(trainer)
    await trainer.load(Load("demo", "some.task:task", bytes(32), "site-1", None, {}))
    with pytest.raises(TrainerLostError, match="no end") as lost:
        await trainer.evaluate("demo", vector=vector, resamples=0, seed=0, limit_s=0.05)
    assert lost.value.reason == "endless"


@given(parts=st.lists(st.binary(max_size=60) | st.just(pack({"kind": "progress", "id": 1, "share": 0.5})), max_size=6))
def test_any_stream_of_bytes_is_messages_an_end_or_refused(parts: list[bytes]) -> None:
    async def read() -> None:
        stream = asyncio.StreamReader()
        for part in parts:
            stream.feed_data(part)
        stream.feed_eof()
        inbox = Inbox(stream)
        with contextlib.suppress(GarbledError):
            while (message := await inbox.receive()) is not None:
                assert isinstance(message["kind"], str)

    asyncio.run(read())


@given(body=st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(body: bytes) -> None:
    try:
        message = unpack(body)
    except GarbledError:
        return
    assert isinstance(message["kind"], str)


_PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary()
_ANY = st.recursive(_PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
_NAMES = st.sampled_from(["id", "kind", "share", "values", "seconds", "reason", "message", "hint", *LOADED])


@given(message=st.dictionaries(_NAMES, _ANY), kind=st.sampled_from(["done", "failed", "progress"]) | st.text())
def test_any_message_is_an_answer_or_refused(message: dict[str, Any], kind: str) -> None:
    message = unpack(cast(bytes, msgpack.packb({**message, "kind": kind})))
    readers: list[Callable[[], object]] = [
        lambda: answers.belongs_to(message, 1),
        lambda: answers.share_of(message),
        lambda: answers.failure_of(message),
        lambda: answers.loaded_of(message),
        lambda: answers.seconds_of(message),
        lambda: answers.Values().of("demo", message),
    ]
    for read in readers:
        try:
            read()
        except GarbledError as error:
            assert len(str(error)) < 200  # noqa: PT017  # refused or read, and both are right


FAKE = """
import socket, sys, time, msgpack
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("ready", flush=True)
connection, _ = listener.accept()
body = msgpack.packb({"kind": "hello", "pid": int(sys.argv[2])})
connection.sendall(len(body).to_bytes(4, "big") + body)
time.sleep(60)
"""


@pytest.fixture
def stranger() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def fake(tmp_path: Path, stranger: "subprocess.Popen[bytes]") -> Iterator["subprocess.Popen[bytes]"]:
    """A fork server that gives itself out for a process of somebody else."""
    command = [sys.executable, "-c", FAKE, str(tmp_path / "fork.sock"), str(stranger.pid)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.communicate()


async def test_who_a_trainer_is_says_the_kernel_and_not_the_trainer(
    tmp_path: Path, stranger: "subprocess.Popen[bytes]", fake: "subprocess.Popen[bytes]"
) -> None:
    trainer = Trainer(Launcher(tmp_path / "fork.sock", []))
    await trainer.prepare()
    assert trainer.pid == fake.pid
    trainer.close()
    assert await asyncio.to_thread(fake.wait, 20) == -9
    assert stranger.poll() is None


def test_outputs_that_are_not_finite_are_said_once_and_are_no_metric() -> None:
    read = answers.Values()
    with capture_logs() as lines:
        for _ in range(2):
            assert read.of("demo", {"values": {"not-finite": 20.0, "n-test": 20.0}}) == {"n-test": 20.0}
    assert [line["event"] for line in lines] == [
        "the model's outputs are not finite: such versions are not scored here"
    ]


def test_metrics_that_a_task_invents_for_ever_fill_neither_memory_nor_log() -> None:
    read = answers.Values()
    with capture_logs() as lines:
        for number in range(answers.SAID_MAX + 10):
            assert read.of("demo", {"values": {f"m-{number}": float("inf")}}) == {}
        read.of("other", {"values": {"auc": float("inf")}})
    assert [line["study"] for line in lines] == ["demo"] * answers.SAID_MAX + ["other"]
