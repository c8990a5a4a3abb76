"""A file that the registrar signs: what stands in it, then the signature, in armour.

Never:    is believed before its signature was checked under the registrar's key.
"""

from pathlib import Path
from typing import Any

import msgpack

from protocol.signing import Signs, verify_bytes
from registry.armour import read_armoured, write_armoured
from schemas.codec import unpack_array
from schemas.errors import LocalError, PeerError

BYTES_MAX = 48 * 1024
_SIGNATURE_BYTES = 64


def write_signed(path: Path, kind: str, values: tuple[Any, ...], key: Signs) -> None:
    """Write `values`, signed. Raises LocalError."""
    said = bytes(msgpack.packb(values))
    write_armoured(path, kind, key.sign_bytes(_context(kind), said) + said)


def read_signed(path: Path, kind: str, registrar: bytes | None, where: int | None = None) -> list[Any]:
    """The values of a file that this registrar signed.

    registrar   its public key; None where the file itself names it, as its value number `where`
    Raises LocalError for a file that is missing, damaged, of another kind, or signed by somebody else.
    """
    content = read_armoured(path, kind)
    signature, said = content[:_SIGNATURE_BYTES], content[_SIGNATURE_BYTES:]
    what = kind.rpartition(" ")[2].lower()
    try:
        values = list(unpack_array(said, BYTES_MAX, what))
        public = registrar if registrar is not None else values[where or 0]
        verify_bytes(_context(kind), said, signature, public)
    except (PeerError, ValueError, TypeError, IndexError):
        raise LocalError(
            f"the {what} {path} is not signed by the registrar that was pinned here, or was changed on its way",
            hint="is it of this federation? If the registrar's key was rotated since, fetch a new "
            "invitation and join with it (--invitation FILE); else have it sent again, or ask on the telephone",
        ) from None
    return values


def _context(kind: str) -> str:
    return kind.rpartition(" ")[2].lower()
