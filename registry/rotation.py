"""New keys for a member that has some: the former ones stay beside, and whoever kills this loses none.

Knows:    at every moment each private key that was ever in use lies whole in a file of its own; what an earlier try
          left is gone on with.
Never:    overwrites a key that does not lie elsewhere already; publishes anything.

In this order: both new keys are written as NAME.sign.next and NAME.open.next; then for each kind the former key is
copied beside as NAME.sign.1a2b3c4d, and the new one renamed over it; last the card.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from protocol.files import write_whole
from protocol.key_files import flush_folder, retired_beside, retired_path
from protocol.sealing import OpenKey
from protocol.signing import SigningKey
from protocol.tls.files import KEY, read_private
from registry.armour import REQUEST, write_armoured
from registry.keyfiles import MemberCard, check_name, read_card, tls_folder
from schemas.errors import LocalError


class Key(Protocol):
    key_id: bytes
    public: bytes

    @classmethod
    def generate(cls) -> Self: ...
    @classmethod
    def load(cls, path: Path) -> Self: ...
    def save(self, path: Path) -> None: ...


class Disk:
    """The steps between which a process may die; each of them is done whole or not at all, but `save`."""

    def save(self, key: Key, path: Path) -> None:
        key.save(path)

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)
        flush_folder(target.parent)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def write_public(self, path: Path, public: bytes) -> None:
        write_whole(path, public)

    def write_card(self, path: Path, card: MemberCard) -> None:
        write_armoured(path, REQUEST, card.to_bytes())


@dataclass(frozen=True, slots=True)
class Rotated:
    """The new card; where all former keys lie. `resumed`: an earlier try was finished, no further keys were made."""

    card: MemberCard
    retired: tuple[Path, ...]
    resumed: bool


def rotate_member_keys(name: str, folder: Path, disk: Disk | None = None) -> Rotated:
    """Make new NAME.sign, NAME.open and NAME.pub in `folder`; the former private keys stay beside, that for TLS stays.

    Run again after it was interrupted, it goes on where it stopped. Raises LocalError when there are no keys yet, or
    one of the files cannot be read or written.
    """
    check_name(name)
    disk = disk or Disk()
    sign, opening = KeyFile(folder / f"{name}.sign", SigningKey, disk), KeyFile(folder / f"{name}.open", OpenKey, disk)
    card = folder / f"{name}.pub"
    try:
        return _rotated(name, sign, opening, card, disk)
    except OSError as error:
        raise LocalError(
            f"the keys of {name} in {folder} are not rotated yet: {error.strerror}",
            hint="no key is lost; check free space and rights, then run it again",
        ) from None


def _rotated(name: str, sign: "KeyFile", opening: "KeyFile", card: Path, disk: Disk) -> Rotated:
    institution = read_card(card).institution if card.exists() else name
    resumed = sign.has_next or opening.has_next or _is_behind(card, sign, opening)
    if not resumed:
        sign.prepare()
    if sign.has_next:  # as long as it is there the opening key is not exchanged either
        if not opening.has_next:
            opening.prepare()
        sign.install()
    if opening.has_next:
        opening.install()
    tls = read_private(tls_folder(sign.path) / KEY)
    made = MemberCard.of(name, institution, SigningKey.load(sign.path), opening.key.public, tls)
    disk.write_card(card, made)
    return Rotated(made, (*retired_beside(sign.path), *retired_beside(opening.path)), resumed)


def _is_behind(path: Path, sign: "KeyFile", opening: "KeyFile") -> bool:
    """Whether the card is of other keys than those that lie there: the last step is missing."""
    if not path.exists():
        return False
    card = read_card(path)
    return (card.sign, card.open) != (sign.key.public, opening.key.public)


class KeyFile:
    """One private key, and what lies beside it."""

    def __init__(self, path: Path, kind: type[Key], disk: Disk) -> None:
        self.path = path
        self._kind, self._disk = kind, disk
        self.next, self._part = path.with_name(path.name + ".next"), path.with_name(path.name + ".part")

    @property
    def key(self) -> Key:
        return self._kind.load(self.path)

    @property
    def has_next(self) -> bool:
        return self.next.exists()

    def prepare(self) -> None:
        """Write the new key, to be installed later."""
        _ = self.key  # there is one, and it can be read
        self._put(self._kind.generate(), self.next)

    def install(self) -> None:
        """Put the new key in the place of the former one, which lies beside from now on."""
        former = self.key
        self._kind.load(self.next)  # whole, and of this kind
        beside = retired_path(self.path, former.key_id)
        if not beside.exists():
            self._put(former, beside)
        elif self._kind.load(beside).key_id != former.key_id:
            raise LocalError(f"{beside} is another key than its name says", hint="move it away, then run it again")
        self._disk.rename(self.next, self.path)

    def _put(self, key: Key, path: Path) -> None:
        self._disk.remove(self._part)
        self._disk.save(key, self._part)
        self._disk.rename(self._part, path)
