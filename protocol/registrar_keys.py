"""The registrar's keys over time, as a chain from the one that is pinned here: each names the next one by a record.

Knows:    a record of the chain stands for itself: the former key signed it, the next one proves that it is held. So
          whoever pins any key of the chain knows those behind it, and those before it for what they signed in their
          time.
Never:    believes a roster that a key signed after it was handed on; chooses between two successors of one key.
Source:   docs/decisions/0073.
"""

from collections.abc import Iterator
from typing import TypeVar

from protocol.signing import SigningKey, key_id, verify, verify_bytes
from schemas.codec import Record
from schemas.errors import PeerError
from schemas.records import RegistrarKey, Roster, Signed, kind_of

PROOF_CONTEXT = "registrarkey-proof"
R = TypeVar("R", bound=Record)


class UnknownKeyError(PeerError):
    """Signed with a key that is not of the chain, as far as it is known: it may be heard again once it has grown."""


def hand_on(former: SigningKey, new: SigningKey, serial: int) -> Signed:
    """The record by which `new` goes on where `former` ends, with the roster of that serial."""
    proof = new.sign_bytes(PROOF_CONTEXT, _proved(former.public, new.public, serial))
    return former.sign(RegistrarKey(former.public, new.public, serial, proof))


def read_handed_on(signed: Signed) -> RegistrarKey:
    """A record of any chain, both signatures checked. Raises PeerError."""
    found = verify(signed, RegistrarKey, RegistrarKey.from_bytes(signed.payload).former)
    verify_bytes(PROOF_CONTEXT, _proved(found.former, found.public, found.serial), found.proof, found.public)
    return found


def is_handed_on(signed: Signed) -> bool:
    """Whether it says that it is a record of a chain; nothing is verified."""
    return kind_of(signed.payload) == RegistrarKey.KIND


class RegistrarKeys:
    """Feed it the records of the chain in any order; ask which key may have signed what."""

    def __init__(self, pinned: bytes) -> None:
        """`pinned` is the Ed25519 public key that this process believes, of whatever age."""
        self.pinned = pinned
        self.forked = ""  # what is wrong, where a key from the pinned one on has two successors
        self._public = {key_id(pinned): pinned}
        self._next: dict[bytes, RegistrarKey] = {}  # by the key_id of the former
        self._reached = {key_id(pinned)}  # the pinned one and what follows: its former alone vouches for each

    def __contains__(self, public: bytes) -> bool:
        return key_id(public) in self._public

    @property
    def newest(self) -> bytes:
        """The public key that signs now."""
        at = self.pinned
        while (then := self._next.get(key_id(at))) is not None:
            at = then.public
        return at

    def knows(self, signer: bytes) -> bool:
        """Whether the key of this key_id is of the chain."""
        return signer in self._public

    def add(self, signed: Signed) -> bool:
        """Take a record of the chain; True when a key became known by it.

        Raises UnknownKeyError where it does not hang on the chain yet, PeerError where it does not hold, and for a
        second successor: `forked` says so then.
        """
        found = read_handed_on(signed)
        former, public = key_id(found.former), key_id(found.public)
        known = self._next.get(former)
        if known == found:
            return False
        if known is not None:
            self._second(known, found)
        if former not in self._public and public not in self._public:
            raise UnknownKeyError(f"registrar key {former.hex()} is not one that is known here")
        if former in self._public and public in self._public:
            raise PeerError(f"registrar key {public.hex()} stands in a circle")
        if former not in self._public and public in {key_id(one.public) for one in self._next.values()}:
            raise PeerError(f"registrar key {public.hex()} succeeds another one already")
        if former in self._public:
            self._reached.add(public)
        self._public |= {former: found.former, public: found.public}
        self._next[former] = found
        return True

    def verify(self, signed: Signed, record_type: type[R]) -> R:
        """A record that the registrar signed, with whichever key. Raises UnknownKeyError, PeerError."""
        public = self._public.get(signed.key_id)
        if public is None:
            raise UnknownKeyError(
                f"{record_type.__name__} names signing key {signed.key_id.hex()}, another one was expected"
            )
        return verify(signed, record_type, public)

    def roster(self, signed: Signed) -> Roster:
        """A roster, signed with a key that might sign it then. Raises UnknownKeyError, PeerError."""
        roster = self.verify(signed, Roster)
        if not self.may_sign(signed.key_id, roster.serial):
            last = self._next[signed.key_id].serial
            raise PeerError(
                f"roster {roster.serial} is signed with the registrar's former key {signed.key_id.hex()}, whose last "
                f"one is {last}",
                code="revoked",
            )
        return roster

    def may_sign(self, signer: bytes, serial: int) -> bool:
        """Whether a key of the chain may have signed the roster of this serial."""
        then = self._next.get(signer)
        return then is None or serial <= then.serial

    def _second(self, known: RegistrarKey, found: RegistrarKey) -> None:
        """Always raises. Before the pinned key it is of no account: what is pinned here vouches for the first."""
        former = key_id(found.former)
        said = f"the registrar's key {former.hex()} has two successors on the log: {_named(known)} and {_named(found)}"
        if former in self._reached:
            self.forked = said
        raise PeerError(said, code="forked")


class Unheard:
    """Records under keys that are not of the chain yet: the newest of each place and signer, within a bound."""

    def __init__(self, bytes_max: int = 32 * 1024 * 1024) -> None:
        self._bytes_max, self._bytes = bytes_max, 0
        self._kept: dict[tuple[str, bytes | None, bytes], Signed] = {}

    def keep(self, topic: str, key: bytes | None, signed: Signed) -> None:
        """Keep one; the oldest go where there are too many."""
        self._drop((topic, key, signed.key_id))
        self._kept[topic, key, signed.key_id] = signed
        self._bytes += _size(signed)
        while self._bytes > self._bytes_max:
            self._drop(next(iter(self._kept)))

    def take(self) -> Iterator[tuple[str, bytes | None, Signed]]:
        """All of them, the oldest first; they are kept no longer."""
        kept, self._kept, self._bytes = self._kept, {}, 0
        return ((topic, key, signed) for (topic, key, _), signed in kept.items())

    def _drop(self, place: tuple[str, bytes | None, bytes]) -> None:
        gone = self._kept.pop(place, None)
        self._bytes -= _size(gone) if gone is not None else 0


def _size(signed: Signed) -> int:
    return len(signed.payload) + 256  # and what Python needs for it


def _proved(former: bytes, public: bytes, serial: int) -> bytes:
    return former + public + serial.to_bytes(8, "big")


def _named(one: RegistrarKey) -> str:
    return f"{key_id(one.public).hex()} from roster {one.serial + 1} on"
