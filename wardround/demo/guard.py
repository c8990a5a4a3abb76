"""Ends what a demo has started when the demo itself was killed: `guard.py FOLDER`, waiting for the end of its input.

Knows:    a run's processes name the run's folder in their arguments, and are Python or Java.
Imports:  stdlib alone: it is run as a file, and has to start in an instant.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

PREFIX = "wardround-demo-"  # every run's folder is called so; nothing else is ever removed
END_S = 60.0  # an instant for a few processes; hundreds on a busy machine take their time to die
_PROGRAMS = ("python", "java")


def arguments(pid: int) -> list[str]:
    """The argument list of a living process; empty for one that has ended."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        return []
    return [os.fsdecode(word) for word in words]


def everybody() -> list[int]:
    """All process ids but this one's."""
    numbers = (int(entry) for entry in os.listdir("/proc") if entry.isdecimal())
    return [pid for pid in numbers if pid != os.getpid()]


def owned(folder: Path) -> list[int]:
    """Processes of the run in `folder`, guards aside."""
    found = []
    for pid in everybody():
        words = arguments(pid)
        ours = words and Path(words[0]).name.startswith(_PROGRAMS) and any(str(folder) in word for word in words)
        if ours and str(Path(__file__)) not in words:
            found.append(pid)
    return found


def end_all(folder: Path, seconds: float = END_S) -> bool:
    """SIGKILL everything of the run until nothing is left, and remove its folder; False when something stays."""
    until = time.monotonic() + seconds
    while pids := owned(folder):
        if time.monotonic() > until:
            return False
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    if folder.name.startswith(PREFIX):
        shutil.rmtree(folder, ignore_errors=True)
    return True


def main() -> None:
    """Wait for the end of the input, which comes when the demo ends, however it ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    end_all(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
