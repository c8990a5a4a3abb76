"""Key files as people hand them around: a member's card (NAME.pub) and the registrar's public key.

Knows:    private keys stay where they were made; a card holds public halves alone. Beside NAME.sign and NAME.open lies
          NAME.tls, the folder of the member's key for TLS and of the certificate that the registrar's answer brings.
"""

import base64
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgpack
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from protocol.files import write_whole
from protocol.sealing import OPEN_PUBLIC_BYTES, OpenKey
from protocol.signing import SigningKey, key_id, verify_bytes
from protocol.tls.files import KEY, write_private
from protocol.tls.requests import new_tls_key, request_for, requested_key
from registry.armour import REQUEST, read_armoured, write_armoured
from schemas.codec import ID, Text, unpack_array
from schemas.errors import LocalError, PeerError
from schemas.records import KeyState, KeyUse, MemberKey

SIGN_PUBLIC_BYTES = 32
_CARD_BYTES_MAX = 4096
_CONTEXT = "card"
_INSTITUTION = Text(120)
_GROUPS, _GROUP = 4, 4  # of a fingerprint: 80 bits, so that nobody finds a second card with the same one


@dataclass(frozen=True, slots=True)
class MemberCard:
    """NAME.pub, the request for the registrar: who asks to belong, with which public keys, signed by the member's own.

    A msgpack array [name, institution, Ed25519 public key (32), HPKE public key (1216), request for a certificate
    (PKCS #10, DER), signature of all that (64)].
    """

    name: str
    institution: str
    sign: bytes
    open: bytes
    request: bytes
    proof: bytes

    def __post_init__(self) -> None:
        ID.pack(self.name)
        _INSTITUTION.pack(self.institution)
        if len(self.sign) != SIGN_PUBLIC_BYTES or len(self.open) != OPEN_PUBLIC_BYTES:
            raise ValueError(f"the keys of {self.name} have {len(self.sign)} and {len(self.open)} bytes")
        verify_bytes(_CONTEXT, self._said(), self.proof, self.sign)
        requested_key(self.request)

    @classmethod
    def of(cls, name: str, institution: str, signing: SigningKey, opening: bytes, tls: EllipticCurvePrivateKey) -> Self:
        """The card of whoever holds these keys; `opening` is the public half of its opening key."""
        request = request_for(tls, name)
        said = _packed(name, institution, signing.public, opening, request)
        return cls(name, institution, signing.public, opening, request, signing.sign_bytes(_CONTEXT, said))

    def to_bytes(self) -> bytes:
        return bytes(msgpack.packb((self.name, self.institution, self.sign, self.open, self.request, self.proof)))

    @property
    def fingerprint(self) -> str:
        """16 letters and digits for all of it, to be read out on the telephone: four groups of base32."""
        text = base64.b32encode(hashlib.sha256(self._said()).digest()).decode()
        return "-".join(text[at : at + _GROUP] for at in range(0, _GROUPS * _GROUP, _GROUP))

    def _said(self) -> bytes:
        return _packed(self.name, self.institution, self.sign, self.open, self.request)

    def keys(self) -> tuple[MemberKey, MemberKey]:
        """Both keys as a Member record lists them, active."""
        return (
            MemberKey(KeyUse.SIGN, key_id(self.sign), self.sign, KeyState.ACTIVE),
            MemberKey(KeyUse.OPEN, key_id(self.open), self.open, KeyState.ACTIVE),
        )


def read_card(path: Path) -> MemberCard:
    """Raises LocalError when the file is missing, no member's card, or was changed on its way."""
    try:
        return MemberCard(*unpack_array(read_armoured(path, REQUEST), _CARD_BYTES_MAX, "card"))
    except (PeerError, ValueError, TypeError):
        raise LocalError(
            f"the request {path} was changed on its way, or made by another version",
            hint="have the member make and send it again",
        ) from None


def tls_folder(private_key: Path) -> Path:
    """Where the keys for TLS lie that belong to a NAME.sign: NAME.tls beside it."""
    return private_key.with_suffix(".tls")


def check_name(name: str) -> None:
    """Raises LocalError for a name that no member can have."""
    try:
        ID.pack(name)
    except ValueError as error:
        raise LocalError(str(error), hint="lower-case letters, digits and hyphens, e.g. clinic-north") from None


def make_member_keys(name: str, folder: Path, *, institution: str = "") -> MemberCard:
    """Make NAME.sign, NAME.open, NAME.tls/key.pem (private, mode 0600) and NAME.pub in `folder`.

    Raises LocalError when one of them exists: a private key is never overwritten.
    """
    check_name(name)
    _make_folder(folder)
    paths = [folder / f"{name}.{ending}" for ending in ("sign", "open", "pub", "tls")]
    _refuse_existing(*paths)
    signing, opening, tls = SigningKey.generate(), OpenKey.generate(), new_tls_key()
    card = MemberCard.of(name, institution or name, signing, opening.public, tls)
    signing.save(paths[0])
    opening.save(paths[1])
    _make_folder(paths[3])
    write_private(paths[3] / KEY, tls)
    write_armoured(paths[2], REQUEST, card.to_bytes())
    return card


def make_registrar_keys(folder: Path, passphrase: bytes | None = None) -> SigningKey:
    """Make registrar.sign (private) and registrar.pub (32 raw bytes) in `folder`. Raises LocalError if one exists."""
    _make_folder(folder)
    private, public = folder / "registrar.sign", folder / "registrar.pub"
    _refuse_existing(private, public)
    key = SigningKey.generate()
    key.save(private, passphrase)
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


def _packed(*parts: object) -> bytes:
    return bytes(msgpack.packb(parts))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LocalError(f"{folder} cannot be made: {error.strerror}", hint="name another folder with --out") from None


def _refuse_existing(*paths: Path) -> None:
    for path in paths:
        if path.exists():
            raise LocalError(f"{path} exists already", hint="a key in use must not be lost: move it away first")
