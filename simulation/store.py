"""site.db of a simulated site: what is on its disk, what waits for the next write, and what a kill leaves.

Knows:    one transaction puts an update into the outbox, takes its sequence and marks its base; small facts wait.
Never:    forgets what was put; remembers what only waited when its process was killed.
Source:   participant/shell/store.py, which it stands for.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from participant.core.restored import Restored
from simulation.records import Body


class DiskFull(Exception):  # noqa: N818  # named as the state it is
    """Nothing can be written; nothing was changed."""


@dataclass(slots=True)
class Row:
    """One update in the outbox; `acked_bytes` of its body are known to be on the log, all of it at `body_at`."""

    base_version: int
    base_digest: bytes
    header: bytes
    body: Body
    offer_offset: int = -1
    acked_bytes: int = 0
    body_at: int = -1


@dataclass(slots=True)
class Content:
    """What the database says."""

    rows: dict[int, Row] = field(default_factory=dict)
    trained: dict[int, int] = field(default_factory=dict)
    sequence_next: int | None = None
    evaluated: int = -1
    counted: int = 0
    record: int = -1
    alone_done: bool = False

    def copy(self) -> "Content":
        rows = {sequence: replace(row) for sequence, row in self.rows.items()}
        return Content(
            rows, dict(self.trained), self.sequence_next, self.evaluated, self.counted, self.record, self.alone_done
        )


Change = Callable[[Content], None]


class Store:
    """The database of one process. `disk` is shared with the processes before and after it."""

    def __init__(self, disk: Content, fresh_sequence: int) -> None:
        self._disk = disk
        self.now = disk.copy()
        self.full = False
        self._later: list[Change] = []
        if self.now.sequence_next is None:
            self._disk.sequence_next = self.now.sequence_next = fresh_sequence

    @property
    def waiting(self) -> bool:
        return bool(self._later)

    def restored(self) -> Restored:
        """What the core of the study is told at start."""
        entries = tuple((number, row.base_version, row.offer_offset) for number, row in sorted(self.now.rows.items()))
        now = self.now
        return Restored(
            entries,
            dict(now.trained),
            self.sequence_next(),
            now.evaluated,
            alone_done=now.alone_done,
            counted=now.counted,
            record=now.record,
        )

    def sequence_next(self) -> int:
        assert self.now.sequence_next is not None
        return self.now.sequence_next

    def put(self, sequence: int, row: Row) -> None:
        """On disk when it returns. Raises DiskFull."""

        def change(content: Content) -> None:
            content.rows[sequence] = replace(row)
            content.trained[row.base_version] = sequence
            content.sequence_next = sequence + 1

        self._write(change)
        change(self.now)

    def note(self, change: Change) -> None:
        """Take a change now, and to the disk with the next write."""
        change(self.now)
        self._later.append(change)

    def met(self, record: int) -> None:
        """The newest record of `rounds` that was read goes to the disk with the next write, and has none of its own.

        Its digest is not kept: the log of a history never forks.
        """
        self.now.record = max(self.now.record, record)

    def flush(self) -> None:
        """Write what waits. Raises DiskFull; it goes on waiting then."""
        self._write(None)

    def _write(self, change: Change | None) -> None:
        if self.full:
            raise DiskFull
        waiting, self._later = self._later, []
        self._disk.record = self.now.record
        for one in waiting:
            one(self._disk)
        if change is not None:
            change(self._disk)


def offered(sequence: int, offset: int) -> Change:
    """Its offer is out at `offset`; -1: it has to go up again as a whole."""

    def change(content: Content) -> None:
        if sequence in content.rows:
            row = content.rows[sequence]
            row.offer_offset = offset
            if offset < 0:
                row.acked_bytes, row.body_at = 0, -1

    return change


def acked(sequence: int, size_bytes: int, body_at: int) -> Change:
    """All of its body is on the log."""

    def change(content: Content) -> None:
        if sequence in content.rows:
            content.rows[sequence].acked_bytes, content.rows[sequence].body_at = size_bytes, body_at

    return change


def settled(sequence: int, *, again: bool, counted: bool) -> Change:
    """It is decided; with `again` its base version may be trained from once more."""

    def change(content: Content) -> None:
        content.rows.pop(sequence, None)
        content.counted += counted
        if again:
            for base in [base for base, number in content.trained.items() if number == sequence]:
                del content.trained[base]

    return change


def evaluated(version: int) -> Change:
    def change(content: Content) -> None:
        content.evaluated = version

    return change


def alone_done(content: Content) -> None:
    """The local baseline is measured."""
    content.alone_done = True
