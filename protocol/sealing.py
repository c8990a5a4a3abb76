"""Seals: body keys to their readers by HPKE, chunks of bodies and model keys by AES-256-GCM.

Knows:    HPKE base mode, single shot; KEM ML-KEM-768 + X25519 (X-Wing, 0x647A), HKDF-SHA256, AES-256-GCM.
Never:    uses a body key for two bodies: nonces are chunk indices, so a key seals each index once.
Source:   RFC 9180; draft-connolly-cfrg-xwing-kem; draft-ietf-hpke-pq; FIPS 203.
"""

import hashlib
import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocol.digests import LABEL, Buffer, length_prefixed
from protocol.key_files import read_key, write_key
from protocol.signing import key_id
from schemas.errors import PeerError
from schemas.records import CHUNK_BYTES, EpochKey, KeyBox, Sealed

OPEN_KEY_BYTES = 96  # 64-byte ML-KEM seed || 32-byte X25519 key
OPEN_PUBLIC_BYTES = 1216  # ML-KEM-768 public key (1184) || X25519 public key (32)
BODY_KEY_BYTES = 32
TAG_BYTES = 16
EPOCH_BOX_NAME = "epoch"
_MLKEM_SEED, _MLKEM_PUBLIC, _NONCE = 64, 1184, 12
_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class OpeningKeys(Protocol):
    """What boxes are opened with: one key, or a ring of several (protocol.rings)."""

    @property
    def key_ids(self) -> tuple[bytes, ...]:
        """The names of all keys."""

    def key(self, key_id: bytes) -> "OpenKey | None":
        """The key of that name, where it is held."""


class OpenKey:
    """A private HPKE key, a ring of one; its file holds 96 raw bytes. `public` is what a Member record lists."""

    __slots__ = ("_private", "_secret", "key_id", "public")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != OPEN_KEY_BYTES:
            raise ValueError(f"an opening key has {OPEN_KEY_BYTES} bytes, not {len(secret)}")
        mlkem = MLKEM768PrivateKey.from_seed_bytes(secret[:_MLKEM_SEED])
        x25519 = X25519PrivateKey.from_private_bytes(secret[_MLKEM_SEED:])
        self._secret = secret
        self._private = hpke.MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        self.key_id = key_id(self.public)

    @classmethod
    def generate(cls) -> Self:
        return cls(os.urandom(OPEN_KEY_BYTES))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises LocalError when the file is missing, open to others, or no opening key."""
        return cls(read_key(path, OPEN_KEY_BYTES, "opening"))

    def save(self, path: Path) -> None:
        """Write the key with mode 0600. Raises LocalError rather than overwrite a file."""
        write_key(path, self._secret, "opening")

    @property
    def key_ids(self) -> tuple[bytes, ...]:
        return (self.key_id,)

    def key(self, key_id: bytes) -> "OpenKey | None":
        return self if key_id == self.key_id else None

    def open(self, box: bytes, info: bytes) -> bytes:
        """Open one HPKE box. Raises PeerError with code `box` when it was changed, cut, or sealed to another."""
        try:
            return _SUITE.decrypt(box, self._private, info=info)
        except (InvalidTag, ValueError):
            raise PeerError(f"a box sealed to key {self.key_id.hex()} does not open", code="box") from None

    def __repr__(self) -> str:
        return f"OpenKey({self.key_id.hex()})"


def seal(public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """Seal to an HPKE public key (1216 bytes): enc || ciphertext, 1136 bytes more than `plaintext`.

    Raises PeerError when `public` is no valid key of this kind.
    """
    if len(public) != OPEN_PUBLIC_BYTES:
        raise PeerError(f"an opening public key has {OPEN_PUBLIC_BYTES} bytes, not {len(public)}")
    try:
        mlkem = MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC])
        x25519 = X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC:])
        return _SUITE.encrypt(plaintext, hpke.MLKEM768X25519PublicKey(mlkem, x25519), info=info)
    except ValueError:
        raise PeerError("an opening public key is no ML-KEM-768 + X25519 key") from None


def new_body_key() -> bytes:
    """A fresh AES-256-GCM key for one body."""
    return os.urandom(BODY_KEY_BYTES)


def new_epoch_key() -> bytes:
    """A fresh study key for one epoch."""
    return os.urandom(BODY_KEY_BYTES)


def body_box(public: bytes, name: str, recipient_key_id: bytes, subject: bytes, body_key: bytes) -> KeyBox:
    """Seal a body key to one reader; the seal is bound to the key and to the body's subject."""
    return KeyBox(name, recipient_key_id, seal(public, _body_info(recipient_key_id, subject), body_key))


def sealed_among(keys: OpeningKeys, boxes: Iterable[KeyBox]) -> bool:
    """Whether one of the boxes is sealed to one of the keys."""
    return any(keys.key(box.key_id) is not None for box in boxes)


def open_body_box(keys: OpeningKeys, boxes: Iterable[KeyBox], subject: bytes) -> bytes:
    """Find and open the box sealed to one of `keys`. Raises PeerError with code `box` when there is none that opens."""
    asked = []
    for box in boxes:
        if (key := keys.key(box.key_id)) is not None:
            return _body_key(key.open(box.box, _body_info(key.key_id, subject)))
        asked.append(box.key_id)
    raise _not_held(keys, asked)


def seal_content(readers: Mapping[str, bytes], subject: bytes, content: bytes) -> Sealed:
    """Seal a few bytes to each of `readers` (name -> public key) under a key of their own; bound to the subject."""
    key = new_body_key()
    boxes = tuple(body_box(public, name, key_id(public), subject, key) for name, public in readers.items())
    return Sealed(boxes, AESGCM(key).encrypt(_nonce(0), content, subject))


def open_content(keys: OpeningKeys, sealed: Sealed, subject: bytes) -> bytes:
    """What was sealed. Raises PeerError with code `box` when it is for another key or subject, or changed."""
    key = open_body_box(keys, sealed.boxes, subject)
    try:
        return AESGCM(key).decrypt(_nonce(0), sealed.content, subject)
    except (InvalidTag, ValueError):
        raise PeerError("what is sealed does not open: changed, or of another subject", code="box") from None


def epoch_key_id(epoch_key: bytes) -> bytes:
    """The name of an epoch key on the log: 16 bytes from which the key cannot be found."""
    return hashlib.sha256(LABEL + b"/epoch-key\0" + epoch_key).digest()[:16]


def epoch_box(epoch_key: bytes, body_key: bytes) -> KeyBox:
    """Seal a model's body key under the study key of an epoch: 12-byte nonce || AES-256-GCM, 60 bytes."""
    nonce = os.urandom(_NONCE)
    return KeyBox(EPOCH_BOX_NAME, epoch_key_id(epoch_key), nonce + AESGCM(epoch_key).encrypt(nonce, body_key, None))


def open_epoch_box(epoch_key: bytes, boxes: Iterable[KeyBox]) -> bytes:
    """Open the box sealed under `epoch_key`. Raises PeerError with code `box` when there is none that opens."""
    wanted = epoch_key_id(epoch_key)
    for box in boxes:
        if box.name == EPOCH_BOX_NAME and box.key_id == wanted:
            try:
                return _body_key(AESGCM(epoch_key).decrypt(box.box[:_NONCE], box.box[_NONCE:], None))
            except (InvalidTag, ValueError):
                raise PeerError("the box of this epoch does not open", code="box") from None
    raise PeerError(f"no box is sealed under epoch key {wanted.hex()}", code="box")


def seal_epoch_key(public: bytes, study: str, epoch: int, member: str, epoch_key: bytes) -> bytes:
    """Seal a study key to one member: the `box` of an EpochKey record whose key_id is that of `public`."""
    return seal(public, _epoch_info(study, epoch, member, key_id(public)), epoch_key)


def open_epoch_key(keys: OpeningKeys, record: EpochKey) -> bytes:
    """The study key that an EpochKey record gives. Raises PeerError with code `box`."""
    key = keys.key(record.key_id)
    if key is None:
        raise _not_held(keys, (record.key_id,))
    return _body_key(key.open(record.box, _epoch_info(record.study, record.epoch, record.member, record.key_id)))


class ChunkSealer:
    """Seals the chunks of one body: nonce = index as 96 bits, AAD = subject || u32 index || u32 count.

    Sealing the same chunk again gives the same bytes; another plaintext at an index already sealed would break
    the cipher, so a body key belongs to one body for ever.
    """

    def __init__(self, body_key: bytes, subject: bytes, count: int) -> None:
        self._cipher = AESGCM(body_key)
        self._subject = subject
        self._count = count

    def seal(self, index: int, chunk: Buffer) -> bytes:
        """Seal chunk `index`: 16 bytes longer. Raises ValueError unless it is one of `count` chunks of a legal size."""
        if not 0 <= index < self._count or not _legal_size(len(chunk), index, self._count):
            raise ValueError(f"chunk {index} of {self._count} cannot have {len(chunk)} bytes")
        return self._cipher.encrypt(_nonce(index), chunk, _chunk_context(self._subject, index, self._count))


class ChunkOpener:
    """Opens the chunks of one body, in any order."""

    def __init__(self, body_key: bytes, subject: bytes, count: int) -> None:
        self._cipher = AESGCM(body_key)
        self._subject = subject
        self._count = count

    def open(self, index: int, sealed: Buffer) -> bytes:
        """Open chunk `index`. Raises PeerError with code `malformed` if index, count, subject or a byte is another."""
        if not 0 <= index < self._count or not _legal_size(len(sealed) - TAG_BYTES, index, self._count):
            raise PeerError(f"chunk {index} of {self._count} has an impossible size ({len(sealed)} bytes sealed)")
        try:
            return self._cipher.decrypt(_nonce(index), sealed, _chunk_context(self._subject, index, self._count))
        except InvalidTag:
            raise PeerError(f"chunk {index} of {self._count} does not open: changed, or of another body") from None


def _body_info(recipient_key_id: bytes, subject: bytes) -> bytes:
    return LABEL + b"/body" + recipient_key_id + subject


def _epoch_info(study: str, epoch: int, member: str, recipient_key_id: bytes) -> bytes:
    """LABEL "/epoch" || u16 len(study) || study || u64 epoch || u16 len(member) || member || key_id(16)."""
    names = length_prefixed(study) + struct.pack(">Q", epoch) + length_prefixed(member)
    return LABEL + b"/epoch" + names + recipient_key_id


def _not_held(keys: OpeningKeys, asked: Iterable[bytes]) -> PeerError:
    wanted, held = (", ".join(key_id.hex() for key_id in ids) or "nobody" for ids in (asked, keys.key_ids))
    return PeerError(f"no box is sealed to a key that is held here: sealed to {wanted}; held {held}", code="box")


def _body_key(key: bytes) -> bytes:
    if len(key) != BODY_KEY_BYTES:
        raise PeerError(f"a box holds a key of {len(key)} bytes, not {BODY_KEY_BYTES}", code="box")
    return key


def _nonce(index: int) -> bytes:
    return index.to_bytes(_NONCE, "big")


def _chunk_context(subject: bytes, index: int, count: int) -> bytes:
    return subject + struct.pack(">II", index, count)


def _legal_size(size_bytes: int, index: int, count: int) -> bool:
    """Every chunk is full, but the last, which holds at least a byte."""
    return size_bytes == CHUNK_BYTES if index < count - 1 else 0 < size_bytes <= CHUNK_BYTES
