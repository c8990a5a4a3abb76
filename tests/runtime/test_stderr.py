"""What is logged ends nobody: not with a full disk, nor a reader that is gone or asleep, nor without any stderr."""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.stderr import Stderr

ROOT = Path(__file__).parents[2]
SERVICE = """
import asyncio, sys, time
import structlog
from runtime import logs
from runtime.service import run_service
from runtime.stderr import STDERR, keep_standard_streams
keep_standard_streams()
logs.configure("info")
lost = []
STDERR.on_lost(lost.append)
async def main():
    worst_s = 0.0
    for number in range(3000):
        began_s = time.monotonic()
        structlog.get_logger().info("line", number=number, words="x" * 100)
        worst_s = max(worst_s, time.monotonic() - began_s)
        if number % 100 == 0:
            await asyncio.sleep(0)
    print(sum(lost), worst_s)
code = run_service(main())
sys.stdout.flush()
sys.exit(code)
"""


def _serve(stderr: int) -> tuple[int, int, float]:
    """Exit code, lines lost, and the longest that one line took, of a service that logs 3000 lines."""
    line = [sys.executable, "-c", SERVICE]
    done = subprocess.run(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=120)
    lost, worst_s = done.stdout.split()
    return done.returncode, int(lost), float(worst_s)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe's ends, to read and to write."""
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


def test_a_full_disk_ends_no_service_and_every_line_that_is_lost_is_counted() -> None:
    with open("/dev/full", "w") as full:
        assert _serve(full.fileno())[:2] == (0, 3000)


def test_a_reader_that_is_gone_ends_no_service(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    assert _serve(pipe[1])[:2] == (0, 3000)


def test_a_reader_that_reads_no_more_holds_up_no_service(pipe: tuple[int, int]) -> None:
    code, lost, worst_s = _serve(pipe[1])
    assert code == 0
    assert 0 < lost < 3000  # a pipe holds some hundred lines
    assert worst_s < 10


def test_a_service_without_stderr_runs() -> None:
    line = ["sh", "-c", f'exec "{sys.executable}" -c "$0" 2>&-', SERVICE]
    done = subprocess.run(line, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 0


class Disk(io.StringIO):
    """A stream whose disk can be full."""

    full = False

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_lines_that_were_lost_are_told_once_and_only_when_one_was_written_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk, one, counted = Disk(), Stderr(), list[int]()
    monkeypatch.setattr(sys, "stderr", disk)
    one.on_lost(counted.append)
    one.write("a\n")
    assert one.recovered() == (0, "")
    disk.full = True
    one.write("b\n")
    one.write("c\nd\n")
    assert counted == [1, 2]
    assert one.recovered() == (0, "")
    disk.full = False
    one.write("e\n")
    assert one.recovered() == (3, "No space left on device")
    assert one.recovered() == (0, "")
    assert disk.getvalue().splitlines() == ["a", "", "e"]  # the empty line ends one that may have been torn


LOSES = """
import io, os, sys
import structlog
from runtime import logs
logs.configure("info")
log = structlog.get_logger()
kept = os.dup(2)
log.info("before")
os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
log.info("lost")
log.info("lost, too")
os.dup2(kept, 2)
log.info("after")
"""


def test_what_was_lost_is_said_when_it_can_be() -> None:
    done = subprocess.run([sys.executable, "-c", LOSES], cwd=ROOT, capture_output=True, text=True, timeout=60)
    lines = [json.loads(line) for line in done.stderr.splitlines() if line]
    assert [line["event"] for line in lines] == ["before", "after", "lines of this log could not be written"]
    assert (lines[-1]["lost"], lines[-1]["reason"]) == (2, "No space left on device")
    assert done.returncode == 0


KEEPS = """
import os, sys
from runtime.stderr import keep_standard_streams
keep_standard_streams()
opened = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
assert opened > 2, opened
print("for a person", file=sys.stderr)
print("for a person")
os.write(2, b"of a library")
"""


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_no_file_that_is_opened_takes_the_place_of_a_stream_that_was_closed(tmp_path: Path, closed: str) -> None:
    path = tmp_path / "site.db"
    line = ["sh", "-c", f'exec "{sys.executable}" -c "$0" "$1" {closed}', KEEPS, str(path)]
    assert subprocess.run(line, cwd=ROOT, timeout=60, stdout=subprocess.DEVNULL).returncode == 0
    assert path.read_bytes() == b""


def test_a_slow_reader_is_waited_for_a_moment(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    line = [sys.executable, "-c", SERVICE]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=writer, text=True) as child:
        os.close(writer)
        until_s = time.monotonic() + 60
        read = b""
        while block := os.read(reader, 65536):
            read += block
            time.sleep(0.002)
            assert time.monotonic() < until_s
        assert child.stdout is not None
        lost = int(child.stdout.read().split()[0])
    assert read.count(b'"event": "line"') == 3000 - lost
