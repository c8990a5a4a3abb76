"""Private keys on disk: raw bytes, readable by their owner alone, never overwritten; retired ones beside the newest.

Knows:    a container platform mounts secrets read-only, of root, and lets the service read them as its group (0440);
          that is taken where the service could not make it stricter itself, and nowhere else.
"""

import os
import re
import stat
from pathlib import Path

from schemas.errors import LocalError

_PEM_BYTES_MAX = 16 * 1024


def read_key(path: Path, size_bytes: int, kind: str) -> bytes:
    """Read a private key of exactly `size_bytes`.

    Raises LocalError, saying what to do, when the file is missing, open to others, or another kind of key.
    """
    try:
        with path.open("rb") as file:
            status, mount = os.fstat(file.fileno()), os.fstatvfs(file.fileno())
            secret = file.read(size_bytes + 1)
    except OSError as error:
        hint = f"a member's is made by `wardround keys new`; does the command or the configuration name the {kind} key?"
        raise LocalError(f"cannot read the {kind} key {path}: {error.strerror}", hint=hint) from None
    _refuse_open(path, kind, status, mount)
    if len(secret) != size_bytes:
        article = "an" if kind[0] in "aeiou" else "a"
        length = len(secret) if len(secret) < size_bytes else f"more than {size_bytes}"
        hint = f"{article} {kind} key file holds {size_bytes} raw bytes; is this the path of another kind of key?"
        raise LocalError(f"{path} is no {kind} key: it holds {length} bytes", hint=hint)
    return secret


def is_pem(path: Path) -> bool:
    """Whether a file begins like one in PEM; a file that cannot be read does not."""
    try:
        with path.open("rb") as file:
            return file.read(11) == b"-----BEGIN "
    except OSError:
        return False


def read_text_key(path: Path, kind: str) -> bytes:
    """Read a private key in PEM. Raises LocalError, saying what to do, when it is missing or open to others."""
    try:
        with path.open("rb") as file:
            status, mount = os.fstat(file.fileno()), os.fstatvfs(file.fileno())
            text = file.read(_PEM_BYTES_MAX)
    except OSError as error:
        hint = "does the command or the setting name it right?"
        raise LocalError(f"cannot read the {kind} key {path}: {error.strerror}", hint=hint) from None
    _refuse_open(path, kind, status, mount)
    return text


def _refuse_open(path: Path, kind: str, status: os.stat_result, mount: os.statvfs_result) -> None:
    read_only = bool(mount.f_flag & os.ST_RDONLY)
    if hint := why_open(status.st_mode, status.st_uid, os.geteuid(), read_only=read_only):
        mode = stat.S_IMODE(status.st_mode)
        raise LocalError(f"the {kind} key {path} is open to others (mode {mode:04o})", hint=hint.format(path=path))


def retired_path(path: Path, key_id: bytes) -> Path:
    """Where a key that lay at `path` lies once another one is the newest: NAME.open -> NAME.open.1a2b3c4d."""
    return path.with_name(f"{path.name}.{key_id[:4].hex()}")


def retired_beside(path: Path) -> list[Path]:
    """The retired keys of the key at `path`, by name. Raises LocalError when the folder cannot be read."""
    named = re.compile(re.escape(path.name) + r"\.[0-9a-f]{8}")
    try:
        return sorted(one for one in path.parent.iterdir() if named.fullmatch(one.name))
    except OSError as error:
        hint = "retired keys lie beside the newest; check owner and rights"
        raise LocalError(f"cannot read the folder {path.parent}: {error.strerror}", hint=hint) from None


def why_open(mode: int, owner: int, user: int, *, read_only: bool) -> str:
    """What to do about a key's mode, with {path} for its place; empty when it is closed to others.

    mode             of its stat; owner: its user id
    user, read_only  the service's user id; whether the file lies on a read-only mount
    """
    others = mode & 0o077
    fixed = read_only or (owner == 0 and user != 0)  # whoever runs this cannot change it
    if not others or (others == 0o040 and fixed and owner in (0, user)):
        return ""
    if fixed:
        return (
            "mount the secret with mode 0400, or 0440 with the group of the service (Kubernetes: defaultMode and "
            "fsGroup); nobody else may read it"
        )
    return "run: chmod 600 {path}"


def write_key(path: Path, secret: bytes, kind: str) -> None:
    """Write a private key with mode 0600 and flush it to disk. Raises LocalError rather than overwrite a file."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        hint = "a key that was used must not be lost: move it away first, or choose another path"
        raise LocalError(f"{path} exists already; {kind} keys are never overwritten", hint=hint) from None
    except OSError as error:
        hint = "is the folder there, and may this user write to it?"
        raise LocalError(f"cannot write the {kind} key {path}: {error.strerror}", hint=hint) from None
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)  # half a key would only be found out on the day it is needed
        raise LocalError(f"cannot write the {kind} key {path}: {error.strerror}", hint="is the disk full?") from None
    flush_folder(path.parent)


def flush_folder(path: Path) -> None:
    """Have the disk keep which files are in a folder."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_registrar_key(path: Path) -> bytes:
    """The registrar's Ed25519 public key, 32 raw bytes, as pinned at enrolment.

    Raises LocalError when the file is missing or holds anything else.
    """
    hint = "it is the file registrar.pub, 32 bytes, that the registrar hands to every member"
    try:
        public = path.read_bytes()
    except OSError as error:
        raise LocalError(f"cannot read the registrar's public key {path}: {error.strerror}", hint=hint) from None
    if len(public) != 32:
        raise LocalError(f"{path} is no registrar's public key: it holds {len(public)} bytes", hint=hint)
    return public
