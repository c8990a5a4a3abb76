"""What the operating system says of clock, disk and memory.

Source:   adjtimex(2), proc(5), the kernel's cgroup-v2.rst.
"""

import contextlib
import ctypes
import os
import shutil
import tempfile
import time
from pathlib import Path

SYNC_BYTES = 4 * 1024 * 1024
_TIME_ERROR = 5  # of adjtimex: the clock is not synchronised
_TIMEX_BYTES = 512  # more than any kernel's struct timex


def synchronised() -> bool | None:
    """Whether the kernel believes its clock to be; None where it does not say."""
    with contextlib.suppress(OSError, AttributeError):
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))  # only asks
        if state >= 0:
            return int(state) != _TIME_ERROR
    return None


def existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(existing(folder)).free


def sync_s(folder: Path) -> float:
    """Seconds until a few MB are on the disk for good; the file is gone at the end. Raises OSError."""
    with tempfile.TemporaryFile(dir=existing(folder)) as file:
        began_s = time.monotonic()
        file.write(os.urandom(SYNC_BYTES))
        file.flush()
        os.fsync(file.fileno())
        return time.monotonic() - began_s


def memory_bytes() -> int | None:
    """What may still be taken: the machine's, or what is left under the limit of this container."""
    found = [bytes_ for bytes_ in (_of_the_machine(), _of_the_container()) if bytes_ is not None]
    return min(found, default=None)


def _of_the_machine() -> int | None:
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024
    return None


def _of_the_container(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    with contextlib.suppress(OSError, ValueError, StopIteration):
        most, used = (int((folder / name).read_text()) for name in ("memory.max", "memory.current"))
        lines = (folder / "memory.stat").read_text().splitlines()
        cached = int(next(line for line in lines if line.startswith("inactive_file ")).split()[1])
        return max(0, most - used + cached)
    return None
