"""Make bodies.json: digests of bodies that are cut into chunks, and the subjects that seals are bound to.

Run once, from the repository's root: python -m tests.vectors.make_bodies
"""

import hashlib
import json
import struct
from typing import Any

from tests.vectors import FOLDER

OUT = FOLDER / "bodies.json"
LABEL = b"wardround/secagg/1"
CHUNK = 524_288
MODEL = hashlib.sha256(b"a model").digest()


def content(size: int) -> bytes:
    """Byte i is i mod 251."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def body(size: int) -> dict[str, Any]:
    plain = content(size)
    digests = b"".join(hashlib.sha256(plain[at : at + CHUNK]).digest() for at in range(0, size, CHUNK))
    return {"size_bytes": size, "chunk_digests": digests.hex(), "digest": hashlib.sha256(digests).hexdigest()}


def name(value: str) -> bytes:
    return struct.pack(">H", len(value)) + value.encode()


def subject(what: str, **values: Any) -> dict[str, Any]:
    material = LABEL + b"/" + what.encode()
    for key in ("study", "site"):
        material += name(values[key]) if key in values else b""
    material += struct.pack(">Q", values["version"]) + values.get("model", b"")
    shown = {key: value.hex() if isinstance(value, bytes) else value for key, value in values.items()}
    return {"of": what, **shown, "subject": hashlib.sha256(material).hexdigest()}


def main() -> None:
    made = {
        "comment": "made by make_bodies.py; byte i of a body is i mod 251; chunk digests are joined",
        "bodies": [body(size) for size in (1, 28, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 5)],
        "subjects": [
            subject("model", study="lung", version=0),
            subject("model", study="lung", version=2**40),
            subject("state", study="lung", version=7),
            subject("initial", study="lung", version=0),
            subject("bookmark", study="heart-disease", version=7),
            subject("evaluation", study="lung", site="inst-1", version=7, model=MODEL),
        ],
    }
    OUT.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
