"""A chain of records: each has its place and the digest of the one before it, so that none can be lost or exchanged.

Knows:    the digest of every record that was taken, and of those that were met in another life.
Never:    keeps the records; knows what they say.
"""

from collections.abc import Mapping
from typing import Protocol

from schemas.errors import PeerError

_DIGEST_BYTES = 32
GENESIS = bytes(_DIGEST_BYTES)  # `previous` of the record with index 0


class Link(Protocol):
    """A record that names its place in a chain."""

    @property
    def index(self) -> int: ...

    @property
    def previous(self) -> bytes: ...


class Digests:
    """A list of digests in one piece: what is kept for as long as a study lasts must not lie scattered in memory."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def __len__(self) -> int:
        return len(self._bytes) // _DIGEST_BYTES

    def append(self, digest: bytes) -> None:
        assert len(digest) == _DIGEST_BYTES
        self._bytes += digest

    def at(self, index: int) -> bytes | None:
        """None where there is none."""
        if not 0 <= index < len(self):
            return None
        return bytes(self._bytes[index * _DIGEST_BYTES : (index + 1) * _DIGEST_BYTES])


class Chain:
    """The records of one log in their order.

    name          of the study, for what is said
    remembered    digests of records met before (index -> digest), which must still stand in their places
    """

    def __init__(self, name: str, remembered: Mapping[int, bytes] | None = None) -> None:
        self._name = name
        self._remembered = dict(remembered or {})
        self._digests = Digests()

    @property
    def next_index(self) -> int:
        """Index of the record that comes next."""
        return len(self._digests)

    @property
    def previous(self) -> bytes:
        """What the next record has to carry as `previous`."""
        return self._digests.at(len(self._digests) - 1) or GENESIS

    def at(self, index: int) -> bytes | None:
        """Digest of the record at `index`, None when it has not been read."""
        return self._digests.at(index)

    def has(self, record: Link, digest: bytes) -> bool:
        """Whether the record has been taken before; if not, it is the next one.

        Raises PeerError with code `forked` when another one is known in its place or it does not continue the chain,
        `lost` when one before it is missing.
        """
        known = self.at(record.index) or self._remembered.get(record.index)
        if known is not None and known != digest:
            raise PeerError(f"the log forked: record {record.index} of {self._name} is another one", code="forked")
        if record.index < self.next_index:
            return True
        if record.index > self.next_index:
            raise PeerError(
                f"record {self.next_index} of {self._name} is missing: index {record.index} came next", code="lost"
            )
        if record.previous != self.previous:
            raise PeerError(
                f"the log forked: record {record.index} of {self._name} does not continue it", code="forked"
            )
        return False

    def take(self, digest: bytes) -> None:
        """Append the record that `has` said is the next one."""
        self._digests.append(digest)
