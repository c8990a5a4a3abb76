"""The trainer: one process that holds a site's patients and does what its participant asks, one thing at a time.

Knows:    the tasks and data of its studies; answers load, train, evaluate and alone, and stops at cancel. What was
          done of a baseline or a measurement is kept: asked for the same again, it goes on where it was stopped.
Never:    talks to anybody else, puts a patient's value or a task's own error text into an answer, outlives its user.
Imports:  numpy and learning when something is loaded; torch only if the task does.
"""

import argparse
import errno
import inspect
import os
import select
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from learning.blame import in_short, place_of_error
from learning.places import look_in
from participant.training.channel import FILES, TEXT_MAX, Message, pack, receive
from participant.training.process import die_before_the_service, one_thread_each
from participant.training.reasons import Reason
from participant.training.warden import under_warden
from schemas.errors import FederationError, LocalError
from schemas.text import plain

if TYPE_CHECKING:
    from learning.pieces import Pieces
    from learning.quarantine import SetAside
    from learning.task import SiteData, Task, TrainingSettings, Vector

PROGRESS_PERIOD_S = 0.25
TOLD_MAX = 500  # rules, and labels
BLOCK = 1 << 20  # values looked at together: no mask as long as the update


class _DataError(LocalError):
    """The task is the right one, and this site's data are not as it needs them; they may be tomorrow."""


class _Study(NamedTuple):
    task: "Task"
    data: "SiteData"
    folder: Path  # of the task's code


FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})  # the machine's, not the task's


class Worker:
    """Serves one connection until the other side closes it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._studies: dict[str, _Study] = {}
        self._begun: dict[tuple[str, str], tuple[Any, Pieces[dict[str, float]]]] = {}  # study, kind -> of what, how far
        self._reported_s, self._share = 0.0, 0.0
        self._request, self._stopped = 0, False
        self._tells = True  # whether the task's own words may be told

    def run(self) -> None:
        self._sock.sendall(pack({"kind": "hello"}))
        while (message := receive(self._sock)) is not None:
            if message["kind"] == "output":
                for handle in (1, 2):
                    os.dup2(message[FILES][0], handle)
            elif message["kind"] != "cancel":  # one that comes late is about something that has ended
                self._sock.sendall(pack({**self._answer(message), "id": message["id"]}))
            for handle in message[FILES]:
                os.close(handle)

    def _answer(self, message: Message) -> Message:
        """What came of one request; an error is an answer too."""
        from learning.task import TrainingCancelledError, TrainingError

        self._request, self._stopped, self._share = message["id"], False, 0.0
        handlers = {"load": self._load, "train": self._train, "evaluate": self._evaluate, "alone": self._alone}
        try:
            return {"kind": "done", **handlers[message["kind"]](message)}
        except TrainingCancelledError:
            return _failed(Reason.CANCELLED, "cancelled")
        except TrainingError as error:
            study = self._studies.get(message["study"])
            nobody = study is not None and not len(study.data.train)
            return _failed(Reason.NOBODY if nobody else Reason.NUMBERS, self._words(error, message))
        except LocalError as error:
            reason = Reason.DATA if isinstance(error, _DataError) else Reason.SETUP
            return _failed(reason, self._words(error, message), error.hint if self._may_tell(error) else "")
        except Exception as error:  # the task's own code runs here; its text, and a file's name, could be a patient's
            full = isinstance(error, OSError) and error.errno in FULL
            said = f"{in_short(error)} in {place_of_error(error, self._folder(message))}"
            return _failed(Reason.DISK if full else Reason.TASK, said)

    def _folder(self, message: Message) -> Path:
        """Where the code of the task lies that a request is about."""
        from learning.entry import task_folder

        study = self._studies.get(message["study"])
        return study.folder if study and message["kind"] != "load" else task_folder(message["entry"])

    def _words(self, error: FederationError, message: Message) -> str:
        """An error as the log may have it. Where policy keeps the task's own words inside, they go where it prints."""
        if self._may_tell(error):
            return str(error)
        where = f"{type(_origin(error)).__name__} in {place_of_error(_origin(error), self._folder(message))}"
        print(f"{where}: {plain(str(error))}", file=sys.stderr, flush=True)  # noqa: T201  # stderr is task.log
        return f"{where}; its words are in task.log"

    def _may_tell(self, error: FederationError) -> bool:
        """Whether the words are ours, or policy lets out those of a task."""
        return self._tells or not _of_task(error)

    def _load(self, message: Message) -> Message:
        from learning.entry import load_task, task_folder
        from learning.quarantine import Quarantine
        from learning.task import DataSource, SiteData

        entry, code = message["entry"], message["code"]
        self._tells = message["words"]
        if message["place"]:
            look_in(Path(message["place"]))
        task = load_task(entry, digest=code)
        folder = Path(message["folder"]) if message["folder"] else None
        quarantine = Quarantine(message["bad_records_max"])
        try:
            data = task.load(DataSource(message["site"], folder, message["options"], quarantine))
        except LocalError as error:
            raise _DataError(str(error), hint=error.hint) from error
        if not isinstance(data, SiteData):
            raise LocalError(f"the task's load returned a {type(data).__name__}", hint="ask its author for a SiteData")
        for key in [key for key in self._begun if key[0] == message["study"]]:
            self._begun.pop(key)[1].close()  # of other data, maybe
        self._studies[message["study"]] = _Study(task, data, task_folder(entry))
        return {
            "parameters": int(task.parameters()),  # numpy's numbers are as good
            "metric": task.metric,
            "higher_is_better": bool(task.higher_is_better),
            "examples": task.examples(data),
            "bytes_data": int(data.bytes_data),
            "records": quarantine.records,
            "bad_records": quarantine.set_aside,
            "set_aside": [[one.where, one.column, one.rule, one.records] for one in _most(quarantine.counts)],
            "labels": [
                [one.where, one.column, one.level, one.records, one.set_aside] for one in quarantine.labels[:TOLD_MAX]
            ],
        }

    def _train(self, message: Message) -> Message:
        import numpy as np

        from learning.task import TrainingError

        task, data, _ = self._studies[message["study"]]
        base = _read(message[FILES][0])
        started_s = time.monotonic()
        update = task.train(
            base,
            data,
            _settings(message["training"]),
            seed=message["seed"],
            progress=self._progress,
            cancelled=self._cancelled,
        )
        seconds = time.monotonic() - started_s
        if not isinstance(update, np.ndarray) or update.shape != base.shape or update.dtype != np.float32:
            kind = f"{getattr(update, 'dtype', type(update).__name__)} {getattr(update, 'shape', '')}"
            raise LocalError(f"the task's train returned {kind}, expected float32 {base.shape}")
        if not all(np.isfinite(update[at : at + BLOCK]).all() for at in range(0, len(update), BLOCK)):
            raise TrainingError("the update holds NaN or infinity")
        _write(message[FILES][1], update)
        return {"seconds": seconds}

    def _evaluate(self, message: Message) -> Message:
        def begin() -> "Pieces[dict[str, float]]":
            task, data, _ = self._studies[message["study"]]
            vector = _read(message[FILES][0])
            return task.measured_pieces(vector, data, seed=message["seed"], resamples=message["resamples"])

        status = os.fstat(message[FILES][0])
        of = (status.st_ino, status.st_mtime_ns, message["seed"], message["resamples"])
        return {"values": self._go_on(message, of, begin)}

    def _alone(self, message: Message) -> Message:
        of = (message["training"], message["seed"], message["resamples"])
        return {"values": self._go_on(message, of, lambda: self._alone_pieces(message))}

    def _alone_pieces(self, message: Message) -> "Pieces[dict[str, float]]":
        from learning.pieces import part

        task, data, _ = self._studies[message["study"]]
        seed, training = message["seed"], _settings(message["training"])
        trained = task.alone_pieces(data, training, seed=seed, cancelled=self._cancelled)
        vector = yield from part(trained, 0.0, 0.5)
        measured = task.measured_pieces(vector, data, seed=seed, resamples=message["resamples"])
        values: dict[str, float] = yield from part(measured, 0.5, 1.0)
        return values

    def _go_on(self, message: Message, of: Any, begin: "Callable[[], Pieces[dict[str, float]]]") -> dict[str, float]:
        """What comes of work in pieces; what a cancel leaves undone is kept, for when the same is asked for again."""
        from learning.pieces import go_on
        from learning.task import TrainingCancelledError

        key = (message["study"], message["kind"])
        kept = self._begun.pop(key, None)
        if kept is not None and kept[0] != of:
            kept[1].close()
            kept = None
        pieces = begin() if kept is None else kept[1]
        try:
            return go_on(pieces, self._progress, self._cancelled)
        except TrainingCancelledError:
            if inspect.getgeneratorstate(pieces) != inspect.GEN_CLOSED:  # stopped between two pieces, not within one
                self._begun[key] = (of, pieces)
            raise

    def _progress(self, share: float) -> None:
        self._share = float(share)
        self._sign()

    def _sign(self) -> None:
        """Tell now and then that the task has taken another step."""
        now_s = time.monotonic()
        if now_s - self._reported_s >= PROGRESS_PERIOD_S:
            self._reported_s = now_s
            self._sock.sendall(pack({"kind": "progress", "id": self._request, "share": self._share}))

    def _cancelled(self) -> bool:
        """Whether a cancel of this very request has arrived. While one request runs nothing else is ever sent.

        A task asks before each step, so that asking is a sign of life.
        """
        self._sign()
        if self._stopped or not select.select([self._sock], [], [], 0)[0]:
            return self._stopped
        message = receive(self._sock)
        if message is None:
            os._exit(0)
        self._stopped = message["kind"] == "cancel" and message["id"] == self._request
        return self._stopped


def serve(sock: socket.socket) -> None:
    """Serve one participant on a connected socket, and end with it, and all the task has started too.

    Returns in the process that served; the one that called this has become its warden.
    """
    under_warden(sock)
    die_before_the_service()
    Worker(sock).run()


def _read(handle: int) -> "Vector":
    """A vector from its open file, read-only and not copied into memory."""
    import numpy as np

    with open(handle, "rb", closefd=False) as file:
        return np.asarray(np.memmap(file, dtype="<f4", mode="r"))


def _write(handle: int, vector: "Vector") -> None:
    """The vector as raw bytes. Not by numpy's tofile, which does not notice that the disk is full."""
    import numpy as np

    left = np.ascontiguousarray(vector, "<f4").data.cast("B")
    while left:
        left = left[os.write(handle, left) :]


def _settings(training: dict[str, Any]) -> "TrainingSettings":
    from learning.task import TrainingSettings

    return TrainingSettings(**training)


def _most(counts: "Sequence[SetAside]") -> "list[SetAside]":
    """The rules that most records break; a table may have more columns than anybody reads."""
    return sorted(counts, key=lambda one: -one.records)[:TOLD_MAX]


def _failed(reason: Reason, text: str, hint: str = "") -> Message:
    """Texts of any length, cut here: of a table of thousands of columns they would not fit into one message."""
    return {"kind": "failed", "reason": reason.value, "message": plain(text, TEXT_MAX), "hint": plain(hint, TEXT_MAX)}


def _of_task(error: Exception) -> bool:
    """Whether the task's own code raised this, and not one of our rooms on its behalf."""
    frames = traceback.extract_tb(_origin(error).__traceback__)
    ours = Path(__file__).resolve().parents[2]
    return not frames or Path(frames[-1].filename).parent not in (ours / "learning", ours / "participant" / "training")


def _origin(error: Exception) -> Exception:
    """The error as it was raised where the data were loaded."""
    return error.__cause__ if isinstance(error, _DataError) and isinstance(error.__cause__, LocalError) else error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--fd", type=int, required=True, help="a connected unix socket, inherited")
    arguments = parser.parse_args()
    one_thread_each()
    look_in(Path.cwd())
    serve(socket.socket(fileno=arguments.fd))


if __name__ == "__main__":
    main()
    sys.exit(0)
