"""Watches one trainer: when it ends, or its participant does, everything that the task has started ends with it.

Knows:    as a subreaper it inherits whatever the task leaves behind, daemons of sessions of their own too, so nothing
          that descends from the trainer can hide.
Never:    runs a line of a task, holds data, or ends before all that is gone; it costs a process that sleeps.
Imports:  stdlib.
"""

import contextlib
import ctypes
import os
import select
import signal
import socket
import time
from pathlib import Path

from participant.training.process import die_with_parent

_PR_SET_CHILD_SUBREAPER = 36
_POLLRDHUP = 0x2000  # the other side closed; select.POLLRDHUP is missing from some builds
_LOOK_MS = 1000  # orphans that have ended are reaped now and then
_AGAIN_S = 0.005


def under_warden(sock: socket.socket) -> None:
    """Fork: returns in the child, which becomes the trainer of `sock`. The parent watches and never returns."""
    warden = os.getpid()
    trainer = os.fork()
    if trainer:
        _watch(sock, trainer)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent(warden)


def _watch(sock: socket.socket, trainer: int) -> None:
    """End as the trainer ended, with all its descendants."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they are meant for the service, which then closes the socket
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        status = _until_over(sock, trainer)
    finally:
        kill_children()
    if os.WIFSIGNALED(status):  # the participant reads from it what happened
        if os.WTERMSIG(status) != signal.SIGKILL:
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _until_over(sock: socket.socket, trainer: int) -> int:
    """Wait until the trainer has ended; when the other side closes, end it. Returns its wait status."""
    handle, poll = os.pidfd_open(trainer), select.poll()
    poll.register(handle, select.POLLIN)
    poll.register(sock, _POLLRDHUP)
    while True:
        events = dict(poll.poll(_LOOK_MS))
        if handle not in events and sock.fileno() in events:
            os.kill(trainer, signal.SIGKILL)
            poll.unregister(sock)
        for pid, status in _ended():
            if pid == trainer:
                return status


def kill_children() -> None:
    """Kill the children of this process, and theirs as they become ours, until there are none."""
    while _has_children():
        for pid in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_AGAIN_S)


def _has_children() -> bool:
    """Whether any is left when those that have ended are reaped."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return False
    return True


def _ended() -> list[tuple[int, int]]:
    """(pid, wait status) of children that have ended, and of orphans that became ours."""
    found: list[tuple[int, int]] = []
    with contextlib.suppress(ChildProcessError):
        while (one := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            found.append(one)
    return found


def _children() -> list[int]:
    own, found = str(os.getpid()), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                if (entry / "stat").read_text().rpartition(")")[2].split()[1] == own:
                    found.append(int(entry.name))
    return found
