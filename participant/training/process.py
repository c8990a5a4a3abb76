"""What trainer and fork server tell the kernel about themselves."""

import contextlib
import ctypes
import os
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Be killed when the process `parent` ends; end now if it has ended already. Ctrl-C is for the parent to take."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def die_before_the_service() -> None:
    """When memory runs out, let the kernel end this process: its work can be had again, the service's links cannot."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def one_thread_each() -> None:
    """One thread for each numeric library, unless the operator says otherwise; before numpy is imported.

    Many trainers may share a machine, one order of addition gives one result, and a process with threads cannot fork.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
