"""The newest roster that a member has met, in a file of its own: a log that is older than that is seen to be.

Knows:    a broker's owner can put back an older copy of a topic, all of it signed; in it keys count that were revoked
          meanwhile. Nobody but who saw the later roster can tell.
Never:    fails for want of a disk: what cannot be written is told, and is met again at the next start.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import LocalError

FILE = "roster.met"  # in a service's data folder; beside a key it is called as the key, with this ending
SUFFIX = ".met"


@dataclass(frozen=True, slots=True)
class Met:
    """A roster by its serial and the digest of its record."""

    serial: int
    digest: bytes


class RosterMemory:
    """One line of text: the registrar's public key that was pinned, serial, digest, and its newest key where that is
    another one. Another registrar's is left aside; who pins the newest key instead goes on with it.
    """

    def __init__(self, path: Path, registrar: bytes, lost: Callable[[OSError], None] = lambda error: None) -> None:
        """`lost` is told where the file cannot be written. Raises LocalError for a file that is something else."""
        self._path, self._registrar, self._lost = path, registrar, lost
        self.key = registrar  # the newest of the registrar's that was met
        self.newest = self._read()

    @classmethod
    def beside(cls, key: Path, registrar: bytes) -> "RosterMemory":
        """The memory of a command that is run with this private key: `auditor.open` has `auditor.met`."""
        return cls(key.with_suffix(SUFFIX), registrar)

    def meet(self, met: Met, key: bytes | None = None) -> None:
        """Remember the newest roster, and the registrar's newest public key; what is not newer says nothing."""
        newest = met if self.newest is None or met.serial > self.newest.serial else self.newest
        key = key or self.key
        if (newest, key) == (self.newest, self.key):
            return
        self.newest, self.key = newest, key
        now = f" {key.hex()}" if key != self._registrar else ""
        try:
            self._write(f"{self._registrar.hex()} {newest.serial} {newest.digest.hex()}{now}\n")
        except OSError as error:
            self._lost(error)

    def _read(self) -> Met | None:
        try:
            text = self._path.read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LocalError(f"{self._path} cannot be read: {error.strerror}", hint="check owner and rights") from None
        except UnicodeDecodeError:
            text = ""
        try:
            pinned, serial, digest, *more = text.split()
            found, registrar = Met(int(serial), bytes.fromhex(digest)), bytes.fromhex(pinned)
            (key,) = [bytes.fromhex(one) for one in more] or [registrar]
        except ValueError:
            raise LocalError(
                f"{self._path} does not hold the newest roster that was met here",
                hint="remove it once `wardround status` shows a log that is as it should be; it is made anew then",
            ) from None
        if self._registrar not in (registrar, key):
            return None
        self.key = key
        return found

    def _write(self, text: str) -> None:
        part = self._path.with_name(self._path.name + ".part")
        with part.open("w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)
