"""A new authority in the place of the old, and the end of the old one; a kill between two steps loses no key.

Knows:    the new key lies whole in a folder of its own before anything is replaced; the old one stays beside for ever,
          since nobody knows who will have to prove what it issued.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from protocol.files import write_whole
from registry.pki.authority import Authority
from schemas.errors import LocalError

_NEXT, _FORMER = "ca.next", "former"
_CERTIFICATES = ("ca.cross.pem", "ca.pem")


def rotate(folder: Path, federation: str, now: datetime, passphrase: bytes | None = None) -> Authority:
    """Make the next authority in `folder`; the former key stays as ca.key.1a2b3c4d, after its certificate's number.

    Run again after it was interrupted, it goes on where it stopped. Raises LocalError.
    """
    for step in steps(folder, federation, now, passphrase):
        step()
    return Authority.load(folder, passphrase)


def steps(folder: Path, federation: str, now: datetime, passphrase: bytes | None = None) -> list[Callable[[], object]]:
    """What is left to do, one after another; each is done whole or not at all."""
    prepared, key = folder / _NEXT, folder / "ca.key"

    def prepare() -> None:
        _remove(prepared)
        prepared.mkdir(mode=0o700)
        current = Authority.load(folder, passphrase)
        current.successor(federation, now).save(prepared, passphrase)
        write_whole(prepared / _FORMER, f"ca.key.{current.certificate.serial_number:x}"[:15].encode())

    def keep_former() -> None:
        former = folder / (prepared / _FORMER).read_text()
        if (prepared / "ca.key").exists() and not former.exists():
            former.hardlink_to(key)

    def exchange() -> None:
        if (prepared / "ca.key").exists():
            (prepared / "ca.key").replace(key)

    def certify() -> None:
        for name in _CERTIFICATES:
            write_whole(folder / name, (prepared / name).read_bytes())

    rest: list[Callable[[], object]] = [keep_former, exchange, certify, lambda: _remove(prepared)]
    return rest if (prepared / _FORMER).exists() else [prepare, *rest]


def retire(folder: Path, passphrase: bytes | None = None) -> Authority:
    """Believe the newest authority alone from now on. Raises LocalError where there is no former one."""
    authority = Authority.load(folder, passphrase)
    if len(authority.roots) == 1 and not authority.between:
        raise LocalError(
            "there is no former authority that could be retired",
            hint="`wardround registrar authority rotate` makes a new one",
        )
    alone = authority.alone()
    alone.save_certificates(folder)
    return alone


def _remove(folder: Path) -> None:
    """What says that it is whole goes first."""
    if folder.exists():
        (folder / _FORMER).unlink(missing_ok=True)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
