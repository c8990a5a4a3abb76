"""What a process used, from /proc: CPU seconds, memory resident now, and the most it ever had (VmHWM)."""

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from wardround.demo import guard

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far; 0 when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def peak_mb(pid: int) -> float:
    """VmHWM in MB (10**6 bytes); 0 when it has ended."""
    return _memory_mb(pid, "VmHWM")


def resident_mb(pid: int) -> float:
    """VmRSS in MB (10**6 bytes) now; 0 when it has ended."""
    return _memory_mb(pid, "VmRSS")


def _memory_mb(pid: int, what: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(what)), 0.0)


def roles(folder: Path) -> Mapping[str, list[int]]:
    """Process ids of a run by role: coordinator, participant, trainer (with its fork server), broker."""
    found: dict[str, list[int]] = defaultdict(list)
    for pid in guard.owned(folder):
        words = guard.arguments(pid)
        if any("fork_server" in word for word in words):
            found["trainer"].append(pid)
        elif "coordinator" in words:
            found["coordinator"].append(pid)
        elif "participant" in words:
            found["participant"].append(pid)
    return found


def cpu_by_role(pids: Mapping[str, list[int]]) -> dict[str, float]:
    return {role: sum(cpu_seconds(pid) for pid in members) for role, members in pids.items()}
