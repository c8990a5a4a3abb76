"""What belongs to a task: the files of its folder, each with its digest; what is left out, by which rule.

Knows:    the rule of today and those before (docs/decisions/0037, 0061); a digest covers names and contents.
Never:    runs or believes anything it finds: sources are kept as the bytes that were digested.
Imports:  stdlib, schemas.errors.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from learning.version import VERSION
from schemas.errors import LocalError

LABEL, LABEL_BEFORE = b"wardround/task/3", b"wardround/task/2"
_LITTER = re.compile(
    r"\..*|__pycache__|Thumbs\.db|desktop\.ini|#.*#|.*(~|\.pyc|\.pyo|\.swp|\.bak|\.orig|\.rej|\.tmp)", re.DOTALL
)
_BESIDE = re.compile(r"plan.*\.toml|.*\.(plan|initial|md)", re.DOTALL)  # in the folder itself, not below it
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class File:
    """One file: its name within the folder, with slashes, SHA-256 of its content; `source` of Python files alone."""

    name: str
    digest: bytes
    size_bytes: int
    source: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Manifest:
    """All files of a task's folder in the order of their names in UTF-8, and the names of what is no part of it."""

    folder: Path
    files: tuple[File, ...]
    left_out: tuple[str, ...]

    @property
    def digest(self) -> bytes:
        """SHA-256 over LABEL and u32 learning's version, then for each file its name and the digest of its content.

        Each name has its length, u64, before it; integers are big-endian.
        """
        return self._over(LABEL + VERSION.to_bytes(4, "big"))

    def matches(self, digest: bytes) -> bool:
        """Whether the folder is the one with this digest, by the rule of today or by those of plans signed before."""
        return digest in (self.digest, self._over(LABEL_BEFORE)) or digest == self._first_digest()

    def sources(self) -> dict[str, bytes]:
        """Python sources by name."""
        return {file.name: file.source for file in self.files if file.source is not None}

    def content(self, name: str) -> bytes:
        """A file as it was digested. Raises LocalError when it is another one now, KeyError when it is no part."""
        known = {file.name: file for file in self.files}[name]
        if known.source is not None:
            return known.source
        found, content = _read(self.folder, name, keep=True)
        if found.digest != known.digest:
            raise LocalError(f"{self.folder / name} has changed since the task was loaded", hint="start again")
        assert content is not None
        return content

    def _over(self, label: bytes) -> bytes:
        total = sha256(label)
        for file in self.files:
            name = file.name.encode()
            total.update(len(name).to_bytes(8, "big") + name + file.digest)
        return total.digest()

    def _first_digest(self) -> bytes:
        """The digest of plans signed before: every file but `__pycache__`, the plan's own text too.

        Each file adds u64 length of its name, the name, u64 length of its content, the content (big-endian).
        """
        total, sources = sha256(), self.sources()
        left_out = [name for name in self.left_out if "__pycache__" not in name.split("/")]
        for encoded, name in sorted((name.encode(), name) for name in [*(one.name for one in self.files), *left_out]):
            content = sources.get(name)
            if content is None:
                content = _read(self.folder, name, keep=True)[1] or b""
            total.update(len(encoded).to_bytes(8, "big") + encoded + len(content).to_bytes(8, "big") + content)
        return total.digest()


def read_manifest(folder: Path) -> Manifest:
    """Read a task's folder.

    Raises LocalError for links and other things whose content could change unseen, and for unreadable files.
    """
    try:
        found = sorted(_names(folder, folder), key=lambda one: one[0].encode())
        files = tuple(_read(folder, name, keep=name.endswith(".py"))[0] for name, counts in found if counts)
    except OSError as error:
        raise LocalError(
            f"the task folder {folder} cannot be read: {error.strerror or type(error).__name__}",
            hint="may this user read it?",
        ) from error
    except UnicodeEncodeError:
        raise LocalError(f"the task folder {folder} holds a name that is no UTF-8", hint="rename that file") from None
    return Manifest(folder, files, tuple(name for name, counts in found if not counts))


def _names(folder: Path, top: Path) -> Iterator[tuple[str, bool]]:
    """(name, whether it counts) of every file below `folder`; what lies in a folder of litter is litter."""
    for path in folder.iterdir():
        name = path.relative_to(top).as_posix()
        counts = not (_LITTER.fullmatch(path.name) or (folder == top and _BESIDE.fullmatch(path.name)))
        if path.is_dir() and not path.is_symlink():
            for inner, inner_counts in _names(path, top):
                yield inner, inner_counts and not _LITTER.fullmatch(path.name)
        elif path.is_file() and not path.is_symlink():
            yield name, counts
        elif counts:
            raise LocalError(f"{path} is a link or no plain file", hint="a task's folder holds plain files only")


def _read(folder: Path, name: str, *, keep: bool) -> tuple[File, bytes | None]:
    digest, size_bytes, kept = sha256(), 0, bytearray()
    with open(folder / name, "rb", buffering=0, opener=_not_followed) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size_bytes += len(piece)
            if keep:
                kept += piece
    content = bytes(kept) if keep else None
    return File(name, digest.digest(), size_bytes, content if name.endswith(".py") else None), content


def _not_followed(path: str, flags: int) -> int:
    """A link or a pipe that took the place of a plain file since is an error, and not waited for."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
