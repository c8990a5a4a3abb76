"""Small files that people mail to each other: a name line, base64, an end line; text that survives any mail program.

Never:    holds anything secret, or says more than what kind of file it is: what stands inside is signed.
Source:   the armour is that of RFC 7468 with labels of its own.
"""

import base64
import binascii
import textwrap
from pathlib import Path

from protocol.files import write_whole
from schemas.errors import LocalError

REQUEST, INVITATION, ANSWER = "WARDROUND REQUEST", "WARDROUND INVITATION", "WARDROUND ANSWER"
_BYTES_MAX = 64 * 1024
_COMES = {
    REQUEST: "the member makes one with `wardround site enrol`, or `wardround keys new`, and sends it",
    INVITATION: "the registrar makes one with `wardround registrar invite`",
    ANSWER: "the registrar makes one with `wardround registrar approve`",
}


def write_armoured(path: Path, kind: str, content: bytes) -> None:
    """Write a file whole. Raises LocalError."""
    lines = textwrap.wrap(base64.b64encode(content).decode(), 64)
    text = "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""])
    write_whole(path, text.encode())


def read_armoured(path: Path, kind: str) -> bytes:
    """What a file of this kind holds. Raises LocalError where it is missing, another kind of file, or damaged."""
    try:
        with path.open("rb") as file:
            text = file.read(_BYTES_MAX).decode("ascii", errors="replace")
    except OSError as error:
        raise LocalError(f"{path} cannot be read: {error.strerror}", hint=_COMES[kind]) from None
    said = kind.rpartition(" ")[2].lower()
    lines = [line.strip() for line in text.splitlines()]
    try:
        inside = lines[lines.index(f"-----BEGIN {kind}-----") + 1 : lines.index(f"-----END {kind}-----")]
        return base64.b64decode("".join(inside), validate=True)
    except ValueError:
        pass
    except binascii.Error:
        raise LocalError(f"the {said} {path} is damaged", hint="have it sent again, as an attachment") from None
    other = next((one for one in _COMES if f"-----BEGIN {one}-----" in text), None)
    what = f"it is {_article(other)}" if other else "it does not begin like one, or has no end"
    raise LocalError(f"{path} is no {said}: {what}", hint=_COMES[kind])


def _article(kind: str) -> str:
    said = kind.rpartition(" ")[2].lower()
    return f"{'an' if said[0] in 'aei' else 'a'} {said}"
