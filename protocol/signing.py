"""Ed25519 signatures: every record under a context of its own, so that no signature fits another kind.

Knows:    signature = Ed25519(LABEL "/" context "\\0" || payload); verify comes before parsing.
Never:    decides whose key it is (schemas.roster does).
Source:   RFC 8032; docs/secure-aggregation.md, section 4.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocol.digests import LABEL
from protocol.key_files import is_pem, read_key, read_text_key, write_key
from schemas.codec import Record
from schemas.errors import LocalError, PeerError
from schemas.records import Header, Signed

SIGNING_KEY_BYTES = 32
PLAN_CONTEXT = "plan"
R = TypeVar("R", bound=Record)


def key_id(public: bytes) -> bytes:
    """The 16 bytes by which a public key is named: the first half of its SHA-256."""
    return hashlib.sha256(public).digest()[:16]


class Signs(Protocol):
    """Whatever signs for one public key: a key in this process, or one that a token or a card keeps for itself."""

    public: bytes
    key_id: bytes

    def sign(self, record: Record) -> Signed: ...
    def sign_plan(self, plan: bytes) -> bytes: ...
    def sign_bytes(self, context: str, payload: bytes) -> bytes: ...


class SigningKey:
    """A private Ed25519 key; its file holds the 32 raw bytes, or PKCS #8 in PEM under a passphrase."""

    __slots__ = ("_private", "key_id", "public")

    def __init__(self, secret: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(secret)
        self.public = self._private.public_key().public_bytes_raw()
        self.key_id = key_id(self.public)

    @classmethod
    def generate(cls) -> Self:
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def load(cls, path: Path, passphrase: bytes | None = None) -> Self:
        """Raises LocalError when the file is missing, open to others, no signing key, or of another passphrase."""
        if not is_pem(path):
            return cls(read_key(path, SIGNING_KEY_BYTES, "signing"))
        try:
            key = serialization.load_pem_private_key(read_text_key(path, "signing"), passphrase)
        except TypeError:
            raise LocalError(f"{path} is encrypted", hint="--passphrase-file FILE names what opens it") from None
        except ValueError:
            hint = "name the passphrase that it was made with"
            raise LocalError(f"{path} cannot be read: another passphrase, or no signing key", hint=hint) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise LocalError(f"{path} is no signing key", hint="is this the path of another kind of key?")
        return cls(key.private_bytes_raw())

    def save(self, path: Path, passphrase: bytes | None = None) -> None:
        """Write the key with mode 0600, under a passphrase if given. Raises LocalError rather than overwrite a file."""
        if passphrase is None:
            write_key(path, self._private.private_bytes_raw(), "signing")
            return
        how = serialization.BestAvailableEncryption(passphrase)
        pem = self._private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
        write_key(path, pem, "signing")

    def sign(self, record: Record) -> Signed:
        """Sign a record under the context of its kind. A Header is signed with its boxes instead: `sign_update`."""
        if isinstance(record, Header):
            raise TypeError("a Header is signed by sign_update, together with its boxes")
        payload = record.to_bytes()
        return Signed(self.key_id, payload, self._private.sign(_message(record.context(), payload)))

    def sign_update(self, header_payload: bytes, boxes: Sequence[bytes]) -> bytes:
        """The update_signature, 64 bytes: covers the Header and the digest of each trustee's box, in plan order."""
        return self._private.sign(_update_message(header_payload, boxes))

    def sign_plan(self, plan: bytes) -> bytes:
        """A signature over a plan's own bytes, 64 bytes."""
        return self.sign_bytes(PLAN_CONTEXT, plan)

    def sign_bytes(self, context: str, payload: bytes) -> bytes:
        """A signature over a file's bytes under the context of its kind, 64 bytes."""
        return self._private.sign(_message(context, payload))

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id.hex()})"


def under(passphrase: bytes | None) -> type[SigningKey]:
    """Signing keys whose files are under one passphrase, wherever they are loaded from and saved to."""
    if passphrase is None:
        return SigningKey
    given = passphrase

    class Under(SigningKey):
        __slots__ = ()

        @classmethod
        def load(cls, path: Path, passphrase: bytes | None = None) -> Self:
            return super().load(path, passphrase or given)

        def save(self, path: Path, passphrase: bytes | None = None) -> None:
            super().save(path, passphrase or given)

    return Under


def verify(signed: Signed, record_type: type[R], public: bytes) -> R:
    """Check the signature under `public`, then parse. Raises PeerError with code `malformed`."""
    if signed.key_id != key_id(public):
        raise PeerError(f"{record_type.__name__} names signing key {signed.key_id.hex()}, another one was expected")
    _check(public, signed.signature, _message(record_type.context(), signed.payload), record_type.__name__)
    return record_type.from_bytes(signed.payload)


def verify_update(header_payload: bytes, boxes: Sequence[bytes], signature: bytes, public: bytes) -> None:
    """Raises PeerError with code `malformed` unless `signature` covers this Header and these boxes."""
    _check(public, signature, _update_message(header_payload, boxes), "update")


def verify_plan(plan: bytes, signature: bytes, public: bytes) -> None:
    """Raises PeerError with code `malformed` unless `signature` covers these plan bytes."""
    verify_bytes(PLAN_CONTEXT, plan, signature, public)


def verify_bytes(context: str, payload: bytes, signature: bytes, public: bytes) -> None:
    """Raises PeerError with code `malformed` unless `signature` covers these bytes of a file of that kind."""
    _check(public, signature, _message(context, payload), context)


def _message(context: str, payload: bytes) -> bytes:
    return LABEL + b"/" + context.encode() + b"\0" + payload


def _update_message(header_payload: bytes, boxes: Sequence[bytes]) -> bytes:
    digests = b"".join(hashlib.sha256(box).digest() for box in boxes)
    return _message(Header.context(), header_payload) + digests


def _check(public: bytes, signature: bytes, message: bytes, what: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise PeerError(f"the signature of this {what} does not fit its bytes and key") from None
