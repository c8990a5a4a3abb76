"""Key files as people hand them around: a member's card (NAME.pub) and the registrar's public key.

Knows:    private keys stay where they were made; a card holds public halves alone.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import msgpack

from protocol.sealing import OPEN_PUBLIC_BYTES, OpenKey
from protocol.signing import SigningKey, key_id
from schemas.codec import ID, unpack_array
from schemas.errors import LocalError, PeerError
from schemas.records import KeyState, KeyUse, MemberKey

SIGN_PUBLIC_BYTES = 32
_CARD_BYTES_MAX = 2048


@dataclass(frozen=True, slots=True)
class MemberCard:
    """NAME.pub: msgpack array [name, Ed25519 public key (32), HPKE public key (1216)], for the registrar."""

    name: str
    sign: bytes
    open: bytes

    def __post_init__(self) -> None:
        ID.pack(self.name)
        if len(self.sign) != SIGN_PUBLIC_BYTES or len(self.open) != OPEN_PUBLIC_BYTES:
            raise ValueError(f"the keys of {self.name} have {len(self.sign)} and {len(self.open)} bytes")

    def to_bytes(self) -> bytes:
        return bytes(msgpack.packb((self.name, self.sign, self.open)))

    def keys(self) -> tuple[MemberKey, MemberKey]:
        """Both keys as a Member record lists them, active."""
        return (
            MemberKey(KeyUse.SIGN, key_id(self.sign), self.sign, KeyState.ACTIVE),
            MemberKey(KeyUse.OPEN, key_id(self.open), self.open, KeyState.ACTIVE),
        )


def read_card(path: Path) -> MemberCard:
    """Raises LocalError when the file is missing or no member's card."""
    try:
        name, sign, opening = unpack_array(_read(path, "member card"), _CARD_BYTES_MAX, "card")
        return MemberCard(name, sign, opening)
    except (PeerError, ValueError, TypeError):
        raise LocalError(
            f"{path} is no member card", hint="the member makes one with `wardround keys new NAME` and sends NAME.pub"
        ) from None


def check_name(name: str) -> None:
    """Raises LocalError for a name that no member can have."""
    try:
        ID.pack(name)
    except ValueError as error:
        raise LocalError(str(error), hint="lower-case letters, digits and hyphens, e.g. clinic-north") from None


def make_member_keys(name: str, folder: Path) -> MemberCard:
    """Make NAME.sign, NAME.open (private, mode 0600) and NAME.pub in `folder`.

    Raises LocalError when one of them exists: a private key is never overwritten.
    """
    check_name(name)
    _make_folder(folder)
    paths = [folder / f"{name}.{ending}" for ending in ("sign", "open", "pub")]
    _refuse_existing(*paths)
    signing, opening = SigningKey.generate(), OpenKey.generate()
    signing.save(paths[0])
    opening.save(paths[1])
    card = MemberCard(name, signing.public, opening.public)
    write_whole(paths[2], card.to_bytes())
    return card


def make_registrar_keys(folder: Path) -> SigningKey:
    """Make registrar.sign (private) and registrar.pub (32 raw bytes) in `folder`. Raises LocalError if one exists."""
    _make_folder(folder)
    private, public = folder / "registrar.sign", folder / "registrar.pub"
    _refuse_existing(private, public)
    key = SigningKey.generate()
    key.save(private)
    write_whole(public, key.public)
    return key


def check_place(path: Path, *, folders_made: bool = False) -> None:
    """Raises LocalError where no file could be written at `path`: to be asked before what is written costs time.

    folders_made    whoever writes it makes missing folders
    """
    folder = path.parent
    try:
        while folders_made and not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if path.is_dir():
            raise LocalError(f"{path} cannot be written: it is a folder", hint="name a file")
        if path.exists() and not path.is_file():  # to be replaced by renaming: a device would be gone
            raise LocalError(f"{path} cannot be written: it is no plain file", hint="name a file")
        if not folder.is_dir():
            raise LocalError(f"{path} cannot be written: {folder} is no folder", hint="make it, or name another one")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise LocalError(f"{path} cannot be written: this user may not write to {folder}", hint="name another one")
    except OSError as error:
        raise LocalError(f"{path} cannot be written: {error.strerror}", hint="name another folder") from None


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file whole or not at all. Raises LocalError, e.g. when the disk is full."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise LocalError(f"{path} cannot be written: {error.strerror}", hint="check free space and rights") from None


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_CARD_BYTES_MAX + 1)
    except OSError as error:
        raise LocalError(f"the {what} {path} cannot be read: {error.strerror}") from None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LocalError(f"{folder} cannot be made: {error.strerror}", hint="name another folder with --out") from None


def _refuse_existing(*paths: Path) -> None:
    for path in paths:
        if path.exists():
            raise LocalError(f"{path} exists already", hint="a key in use must not be lost: move it away first")
