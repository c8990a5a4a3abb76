"""What a command or a service cannot write: output that is lost is no success, a log that is lost is no end."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ops.kafka.ports import free_ports
from registry.keyfiles import make_member_keys, make_registrar_keys

ROOT = Path(__file__).parents[2]
SAID = "error: the output cannot be written: No space left on device\n"


def _run(*words: str, redirect: str, **env: str) -> subprocess.CompletedProcess[str]:
    line = ["sh", "-c", f'exec "{sys.executable}" -m wardround "$@" {redirect}', "sh", *words]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120, env={**os.environ, **env})


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--help"], ["status", "--help"], ["keys", "new", "north", "--out", "KEYS"]])
def test_a_command_whose_output_finds_no_room_says_so_and_fails(
    tmp_path: Path, words: list[str], unbuffered: str
) -> None:
    words = [str(tmp_path / "keys") if word == "KEYS" else word for word in words]
    done = _run(*words, redirect=">/dev/full", PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (1, SAID)


@pytest.mark.parametrize("words", [["nonsense"], ["status", "--nonsense"], ["study", "create"], ["report"]])
def test_a_mistake_that_cannot_be_told_has_the_same_exit_code(words: list[str]) -> None:
    assert _run(*words, redirect="2>/dev/full", PYTHONUNBUFFERED="").returncode == 2


def test_a_command_whose_reader_is_gone_is_quiet_and_no_success() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    line = [sys.executable, "-m", "wardround", "--help"]
    done = subprocess.run(line, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, timeout=120)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def _config(folder: Path, service: str, port: int) -> Path:
    """A service that never reaches its broker, and says so."""
    make_registrar_keys(folder)
    make_member_keys("north", folder)
    study = f'[[studies]]\nplan = "{bytes(32).hex()}"\ndata = "{folder}"\n' if service == "participant" else ""
    path = folder / "service.toml"
    path.write_text(
        f'name = "north"\ndata_dir = "{folder}/data"\n[kafka]\nbootstrap = "127.0.0.1:{free_ports(1)[0]}"\n'
        'security = "plaintext-on-purpose"\n'
        f'[keys]\nsigning = "{folder}/north.sign"\nopening = "{folder}/north.open"\n'
        f'registrar = "{folder}/registrar.pub"\n[metrics]\nport = {port}\n{study}'
    )
    return path


def _lost(port: int, service: str) -> float:
    """Lines lost, as its metrics say; 0 while they do not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as page:
            lines = page.read().decode().splitlines()
    except OSError:
        return 0.0
    return sum(float(line.split()[1]) for line in lines if line.startswith(f"wardround_{service}_log_lines_lost_total"))


@contextmanager
def _unread() -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@contextmanager
def _full() -> Iterator[int]:
    with open("/dev/full", "w") as full:
        yield full.fileno()


@pytest.mark.parametrize("stderr", [_full, _unread], ids=["disk full", "reader gone"])
@pytest.mark.parametrize("service", ["coordinator", "participant"])
def test_a_service_whose_log_is_lost_runs_counts_what_is_lost_and_stops_well(
    tmp_path: Path, service: str, stderr: object
) -> None:
    port = free_ports(1)[0]
    line = [sys.executable, "-m", "wardround", service, "--config", str(_config(tmp_path, service, port))]
    assert callable(stderr)
    with stderr() as unwritten, subprocess.Popen(line, cwd=ROOT, stderr=unwritten) as running:
        try:
            until_s = time.monotonic() + 60
            while _lost(port, service) < 3 and running.poll() is None and time.monotonic() < until_s:
                time.sleep(0.2)
            assert _lost(port, service) >= 3
            assert running.poll() is None
            running.send_signal(signal.SIGTERM)
            assert running.wait(30) == 0
        finally:
            running.kill()
