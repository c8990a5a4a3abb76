"""A service ends with the exit code its operator can act on, one clear line, and within a bound when asked to stop."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from runtime import service
from runtime.service import report, run_service
from schemas.errors import FederationError, LocalError, PeerError, TransientError

ROOT = Path(__file__).parents[2]


async def _fails(error: BaseException) -> None:
    raise error


async def _ends() -> None:
    return None


ERRORS: list[tuple[FederationError, int]] = [
    (FederationError("something"), 1),
    (PeerError("the log forked"), 1),
    (LocalError("no key file", hint="make one"), 2),
    (TransientError("broker away"), 3),
]


@pytest.mark.parametrize(("error", "code"), ERRORS)
def test_an_error_becomes_its_exit_code_and_one_line(
    error: FederationError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_service(_fails(error)) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines()[0] == f"error: {error}"
    assert "Traceback" not in shown.err


def test_a_hint_follows_the_error_and_is_absent_when_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(LocalError("no key file", hint="make one")) == 2
    assert capsys.readouterr().err == "error: no key file\nhint:  make one\n"
    assert report(LocalError("no key file")) == 2
    assert capsys.readouterr().err == "error: no key file\n"


class Connection:
    """Refers to itself, as connections and their tasks do."""

    def __init__(self) -> None:
        self.itself = self


async def test_what_a_broken_connection_leaves_in_cycles_is_gone_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "TRIM_S", 0.01)
    gone = asyncio.Event()
    gc.disable()  # by itself the collector comes after thousands of objects
    try:
        broken = Connection()
        weakref.finalize(broken, gone.set)
        del broken
        running = asyncio.create_task(service.give_memory_back())
        async with asyncio.timeout(30):
            await gone.wait()
        running.cancel()
    finally:
        gc.enable()


def test_a_service_that_ends_by_itself_ends_well() -> None:
    assert run_service(_ends()) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_service_well_and_lets_it_clean_up(number: signal.Signals) -> None:
    cleaned = []

    async def main() -> None:
        os.kill(os.getpid(), number)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(number)

    assert run_service(main()) == 0
    assert cleaned == [number]


def test_an_error_while_cleaning_up_is_still_told(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.Event().wait()
        finally:
            raise TransientError("broker away while closing")

    assert run_service(main()) == 3
    assert "broker away while closing" in capsys.readouterr().err


def test_an_error_in_one_of_several_tasks_is_told_as_itself(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as outer:
            async with asyncio.TaskGroup() as inner:
                inner.create_task(_fails(LocalError("no space", hint="free some")))
            outer.create_task(_ends())

    assert run_service(main()) == 2
    assert capsys.readouterr().err == "error: no space\nhint:  free some\n"


def test_a_mistake_in_one_of_several_tasks_is_raised() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_fails(ZeroDivisionError()))

    with pytest.raises(ExceptionGroup):
        run_service(main())


def test_a_mistake_in_the_program_is_not_dressed_up_as_a_users() -> None:
    with pytest.raises(ZeroDivisionError):
        run_service(_fails(ZeroDivisionError()))


STUBBORN = """
import asyncio, os, signal
from runtime import service
service.STOP_S = 0.3
async def main():
    os.kill(os.getpid(), signal.SIGTERM)
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
raise SystemExit(service.run_service(main()))
"""


def test_a_service_that_does_not_heed_the_signal_is_ended_all_the_same_and_not_with_0() -> None:
    ended = subprocess.run([sys.executable, "-c", STUBBORN], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert ended.returncode not in (0, 2, 3)
