"""Forks trainers from one process that has imported what tasks need: `--socket PATH [--preload MODULE]`.

Knows:    who holds PATH.lock is the server of PATH; a socket without a holder is stale and replaced.
Never:    runs a line of a task (only a trainer knows what was approved), touches data, starts a thread (a process with
          threads cannot fork safely), outlives parent and trainers.

Connections made before the imports are done wait in the socket's queue. When its parent has gone (a participant that
was killed, say) it stays as long as it has trainers.
"""

import argparse
import contextlib
import fcntl
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TextIO

from learning.places import look_in
from participant.training.process import one_thread_each
from schemas.errors import FederationError

QUEUE = 128
NICE = 5  # trainers that share a machine give way to broker and services, and to the server that others wait for
LOOK_S = 0.5
LINGER_S = 1.0  # for a trainer that is being replaced; who comes later starts a server


def serve(path: Path, preload: list[str]) -> int:
    """Run until parent and trainers are gone, or SIGTERM. Returns the exit code; 0 too when another server runs."""
    parent = os.getppid()
    lock = _lock(path)
    if lock is None:
        return 0
    listener = _listen(path)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    try:
        _preload(preload)
        if len(os.listdir("/proc/self/task")) > 1:
            print("fork server: an import started threads, so it cannot fork", file=sys.stderr)  # noqa: T201  # no logs here
            return 1
        _write_nowhere()  # each trainer is told where to write by its participant; the one that started us may be gone
        gc.collect()
        gc.freeze()  # pages that the collector never touches stay shared with the trainers
        _accept(listener, parent, lock)
    finally:
        path.unlink(missing_ok=True)
    return 0


def _accept(listener: socket.socket, parent: int, lock: TextIO) -> None:
    trainers: set[int] = set()
    needed_s = time.monotonic()
    while True:
        ready, _, _ = select.select([listener], [], [], LOOK_S)
        if ready:
            connection, _ = listener.accept()
            trainers.add(_fork(connection, (listener, lock)))
        trainers = {pid for pid in trainers if os.waitpid(pid, os.WNOHANG) == (0, 0)}
        now_s = time.monotonic()
        if trainers or os.getppid() == parent:
            needed_s = now_s
        elif now_s - needed_s > LINGER_S:
            return


def _fork(connection: socket.socket, own: tuple[socket.socket, TextIO]) -> int:
    """Fork one trainer; `own` is what the server holds and a trainer must not: it would outlive the server."""
    pid = os.fork()
    if pid:
        connection.close()
        return pid
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.nice(NICE)
        for held in own:
            held.close()
        from participant.training.worker import serve as work

        work(connection)
        code = 0
    except BaseException as error:
        print(f"trainer: {type(error).__name__}", file=sys.stderr)  # noqa: T201  # its participant sees the closed socket
    finally:
        os._exit(code)


def _preload(modules: list[str]) -> None:
    """Import what tasks need of installed libraries, torch above all, and warm up; no line of a task is run.

    What cannot be found or imported is left to the trainer to report.
    """
    import learning.closed
    import learning.entry
    import participant.training.worker  # noqa: F401  # so that no trainer has to

    for module in modules:
        try:
            manifest = learning.entry.task_manifest(f"{module}:task")
        except FederationError as error:
            print(f"fork server: {error}", file=sys.stderr)  # noqa: T201  # as above
            continue
        package = learning.entry.package_of(f"{module}:task", manifest.folder)
        for library in dict.fromkeys(learning.closed.libraries(manifest, package)):
            with contextlib.suppress(Exception):
                importlib.import_module(library)
    if "torch" in sys.modules:
        from participant.training.warm_up import one_step

        one_step()


def _lock(path: Path) -> TextIO | None:
    """Hold PATH.lock for life and write the process id into it; None when another server does."""
    file = Path(f"{path}.lock").open("a+")  # noqa: SIM115  # held until the process ends
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)  # nobody serves it: we hold the lock
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(QUEUE)
    return listener


def _write_nowhere() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for handle in (1, 2):
        os.dup2(nowhere, handle)
    os.close(nowhere)


def _stop(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--socket", type=Path, required=True, help="where trainers are asked for")
    parser.add_argument(
        "--preload",
        action="append",
        default=[],
        metavar="MODULE",
        help="a task's module; repeatable",
    )
    parser.add_argument(
        "--look-in", action="append", default=[], type=Path, metavar="FOLDER", help="where tasks are found; repeatable"
    )
    arguments = parser.parse_args()
    one_thread_each()
    for place in (Path.cwd(), *arguments.look_in):
        look_in(place)
    sys.exit(serve(arguments.socket, arguments.preload))


if __name__ == "__main__":
    main()
