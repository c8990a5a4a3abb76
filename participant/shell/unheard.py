"""Records whose signer the roster did not know when they were read: heard once more under the next roster.

Knows:    topics are read side by side. After a key was rotated, a record under the new key may be read before the
          roster that lists it, and would be missing in the chain for ever.
Never:    keeps more than so many bytes of what strangers write.
"""

from collections import deque

from schemas.roster import Membership
from transport.reading.log import Entry

RECORDS_MAX = 1024
BYTES_MAX = 8 * 1024 * 1024


class Unheard:
    """The newest of them, in the order in which they were read."""

    def __init__(self) -> None:
        self._kept: deque[Entry] = deque()
        self._bytes = 0
        self._under: bytes | None = None  # the roster by which nobody knew them

    def keep(self, entry: Entry, membership: Membership | None) -> None:
        """Keep one that no coordinator of this roster signed."""
        self._under = _digest(membership)
        self._kept.append(entry)
        self._bytes += len(entry.value or b"")
        while len(self._kept) > RECORDS_MAX or self._bytes > BYTES_MAX:
            self._bytes -= len(self._kept.popleft().value or b"")

    def under(self, membership: Membership | None) -> tuple[Entry, ...]:
        """Those to be heard once more, under another roster than before; they are kept no longer."""
        if not self._kept or _digest(membership) == self._under:
            return ()
        kept = tuple(self._kept)
        self._kept.clear()
        self._bytes = 0
        return kept


def _digest(membership: Membership | None) -> bytes | None:
    return membership.digest if membership is not None else None
