"""Small things around the JVM's processes and files."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

STARTED = "Kafka Server started"

_POLL_S = 0.02


def environment() -> dict[str, str]:
    """What a broker's process gets to see: no secret of the shell that started it."""
    seen = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**seen, "LC_ALL": "C.UTF-8"}  # else a path with an umlaut is none for the JVM


def run(argv: Sequence[str], folder: Path, *, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run to the end in `folder`, both outputs in `stdout`. Raises subprocess.TimeoutExpired."""
    return subprocess.run(
        argv,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        env=environment(),
    )


def spawn(argv: Sequence[str], folder: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start in a session of its own, so that Ctrl-C on a terminal reaches only the process that answers for it."""
    with (folder / "output.log").open("ab") as output:
        return subprocess.Popen(
            argv,
            cwd=folder,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def wait_for_start(log: Path, alive: Callable[[], bool], *, since: int, seconds: float) -> None:
    """Wait until the broker says in its log, after position `since`, that it has started.

    Raises ChildProcessError when it ended, TimeoutError after `seconds`.
    """
    until = time.monotonic() + seconds
    while not has_started(log, since):
        if not alive():
            raise ChildProcessError("the broker ended while it started")
        if time.monotonic() > until:
            raise TimeoutError(f"the broker was not ready after {seconds:g} s")
        time.sleep(_POLL_S)


def has_started(log: Path, since: int) -> bool:
    """Whether the line that tells of a finished start stands in the log after position `since`."""
    try:
        with log.open("rb") as file:
            file.seek(since)
            return STARTED.encode() in file.read()
    except FileNotFoundError:
        return False


def size_of(path: Path) -> int:
    """Bytes of a file, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def last_lines(*paths: Path, since: Mapping[Path, int], count: int = 8) -> str:
    """The last lines written after the given positions, for an error message."""
    lines: list[str] = []
    for path in paths:
        if path.exists():
            with path.open("rb") as file:
                file.seek(since.get(path, 0))
                lines += file.read()[-20_000:].decode(errors="replace").splitlines()
    return "\n".join(f"  {line[:300]}" for line in lines[-count:])


def write_file(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace a small file as a whole: after a crash there is the old one or the new one."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
