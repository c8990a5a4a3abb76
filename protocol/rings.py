"""A member's keys over time: the newest of each kind, and those it had before, each found by its key_id.

Knows:    retired keys lie beside the newest one: NAME.open and NAME.open.1a2b3c4d. What was sealed to one of them still
          opens, so a rotated key costs nothing that was made before.
Never:    signs with a revoked key, nor with one that the roster does not list while it lists another one of the ring.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

from protocol.key_files import retired_beside
from protocol.sealing import OpenKey
from protocol.signing import SigningKey
from schemas.errors import LocalError
from schemas.records import KeyState
from schemas.roster import Membership


class _Named(Protocol):
    @property
    def key_id(self) -> bytes: ...
    @property
    def public(self) -> bytes: ...


K = TypeVar("K", bound=_Named)


class _Ring(Generic[K]):
    """Keys of one kind, the newest first; one that lies in two files is one key."""

    __slots__ = ("_keys",)

    def __init__(self, newest: K, retired: Iterable[K] = ()) -> None:
        self._keys: dict[bytes, K] = {}
        for key in (newest, *retired):
            self._keys.setdefault(key.key_id, key)

    @classmethod
    def of(cls, newest: K, *retired: K) -> Self:
        """A ring of these keys; of one, where nothing was rotated yet."""
        return cls(newest, retired)

    @property
    def publics(self) -> tuple[bytes, ...]:
        """The public key of every key, the newest first."""
        return tuple(key.public for key in self._keys.values())

    @property
    def key_ids(self) -> tuple[bytes, ...]:
        """Of every key, the newest first."""
        return tuple(self._keys)

    def key(self, key_id: bytes) -> K | None:
        """The key of that name; None when the ring has none."""
        return self._keys.get(key_id)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(key_id.hex() for key_id in self._keys)})"


class OpenRing(_Ring[OpenKey]):
    """Opening keys: whatever is sealed to one of them opens. protocol.sealing finds which."""

    __slots__ = ()

    @classmethod
    def load(cls, path: Path) -> Self:
        """The key at `path` and the retired ones beside it. Raises LocalError as OpenKey.load does, for any of them."""
        return cls(*_loaded(OpenKey.load, path))


class SignRing(_Ring[SigningKey]):
    """Signing keys, of which the roster says which one signs."""

    __slots__ = ()

    @classmethod
    def load(cls, path: Path, passphrase: bytes | None = None) -> Self:
        """The key at `path` and the retired ones beside it. Raises LocalError as SigningKey.load does, for any."""
        return cls(*_loaded(lambda one: SigningKey.load(one, passphrase), path))

    def signer(self, member: str, membership: Membership | None) -> SigningKey:
        """The key that `member` signs with now: the newest that the roster lists as active.

        So the one before signs until the newest is published. Where the roster lists none of the ring as active, it is
        the newest that still verifies, and where it lists none at all the newest: nobody can tell yet whose it is.
        Raises LocalError when every key is revoked.
        """
        states = membership.key_states(member) if membership is not None else {}
        for wanted in (KeyState.ACTIVE, KeyState.RETIRED, None):
            for key in self._keys.values():
                if states.get(key.key_id) == wanted:
                    return key
        raise LocalError(
            f"every signing key of {member} that is held here is revoked: {self}",
            hint=f"make new keys with `wardround keys rotate {member}`, and let the registrar publish the new card",
        )


def _loaded(load: Callable[[Path], K], path: Path) -> tuple[K, list[K]]:
    """The newest first: a rotation copies a key beside before it puts another one in its place."""
    newest = load(path)
    return newest, [load(beside) for beside in retired_beside(path)]
