"""What a coordinator wrote on its topics, told from what others put there.

Source: protocol/written.py and the shells that use it, which it stands for: a stranger's record is passed over, a copy
        of an older receipt takes nothing back, and a bookmark is looked for behind what others wrote.
"""

from collections.abc import Iterator

from coordinator.core.bookmark import Marked
from protocol.rounds import RoundsRecord
from schemas.records import Receipt
from simulation.log import Entry, Log
from simulation.records import Chosen, Strange


def rounds_of(entries: list[Entry[Chosen | RoundsRecord | Strange]]) -> Iterator[Chosen | RoundsRecord]:
    """Those of `rounds` that a coordinator signed."""
    for entry in entries:
        if entry.value is not None and not isinstance(entry.value, Strange):
            yield entry.value


def receipts_of(log: Log) -> dict[str, Receipt]:
    """Each site's newest receipt."""
    found: dict[str, Receipt] = {}
    for entry in log.receipts.read(0)[0]:
        one = entry.value
        if isinstance(one, Receipt) and entry.key == one.site and not one.is_older_than(found.get(one.site)):
            found[one.site] = one
    return found


def bookmark_of(log: Log) -> Marked | None:
    """The newest bookmark."""
    return next((one.value for one in log.bookmark.readable() if isinstance(one.value, Marked)), None)
