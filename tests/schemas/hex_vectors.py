"""Reads the golden files beside it: hex with a comment per field, and the table of what must be refused.

Never:    calls the product: the bytes are laid out by hand.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "vectors"
_TIMES = re.compile(r"([0-9a-f]+)\*(\d+)")


@dataclass(frozen=True, slots=True)
class Bad:
    """Bytes that must be refused: `vector` names the golden file they were made from."""

    vector: str
    what: str
    refuses: str
    says: str
    payload: bytes


def hex_bytes(text: str) -> bytes:
    """`c420 0a*32` as bytes."""
    return b"".join(_word(word) for word in text.split())


def _word(word: str) -> bytes:
    times = _TIMES.fullmatch(word)
    return bytes.fromhex(times[1]) * int(times[2]) if times else bytes.fromhex(word)


def fields_of(vector: str) -> dict[str, bytes]:
    """Label -> bytes of each line of a golden file, in order."""
    found: dict[str, bytes] = {}
    for line in (FOLDER / f"{vector}.hex").read_text(encoding="utf-8").splitlines():
        content, _, comment = line.partition("#")
        label = comment.partition(":")[0].strip()
        if not label or label in found:
            raise ValueError(f"{vector}.hex: every line needs a label of its own, got {line!r}")
        found[label] = hex_bytes(content)
    return found


def golden(vector: str) -> bytes:
    """The bytes of one golden file."""
    return b"".join(fields_of(vector).values())


def names() -> list[str]:
    """The golden files there are, without their ending."""
    return sorted(path.stem for path in FOLDER.glob("*.hex"))


def bad() -> list[Bad]:
    """Everything in bad.toml, made into bytes."""
    table = tomllib.loads((FOLDER / "bad.toml").read_text(encoding="utf-8"))
    return [_bad(entry) for entry in table["bad"]]


def _bad(entry: dict[str, str]) -> Bad:
    fields = fields_of(entry["vector"])
    for label in (entry.get("replace"), entry.get("drop")):
        if label is not None and label not in fields:
            raise ValueError(f"bad.toml: {entry['vector']}.hex has no field {label!r}")
    if "replace" in entry:
        fields[entry["replace"]] = hex_bytes(entry["by"])
    fields.pop(entry.get("drop", ""), None)
    payload = b"".join(fields.values()) + hex_bytes(entry.get("append", ""))
    cut = int(entry.get("cut", 0))
    how = entry.get("replace") or ("cut" if cut else "continued")
    what = f"{entry['vector']}: {how} {entry.get('by', entry.get('append', str(cut)))[:40]}"
    return Bad(entry["vector"], what, entry["refuses"], entry["says"], payload[: len(payload) - cut])
