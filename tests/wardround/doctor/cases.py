"""A site on disk for tests of the doctor that need no broker."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from protocol.signing import SigningKey
from registry.keyfiles import make_member_keys
from registry.pki.authority import Authority, utc_now
from registry.pki.issuing import certify, install_beside
from schemas.records import Role
from wardround.doctor.case import Case, Machine, Who

GIB = 1024**3
NAME = "clinic-north"


def machine(**figures: object) -> Machine:
    """One that is well, but for what is passed in."""
    well = {
        "synchronised": lambda: True,
        "free_bytes": lambda folder: 100 * GIB,
        "sync_s": lambda folder: 0.01,
        "memory_bytes": lambda: 8 * GIB,
        "environ": {},
    }
    return Machine(**{**well, **figures})  # type: ignore[arg-type]  # each figure is of its field


def later(**time: float) -> object:
    """A clock that is so far ahead; with negative figures behind."""
    return lambda: datetime.now(UTC) + timedelta(**time)


def site(folder: Path, *, bootstrap: str = "127.0.0.1:9", kafka: str = "", more: str = "") -> Path:
    """Keys, certificate and settings; returns the settings file."""
    card = make_member_keys(NAME, folder)
    install_beside(folder / f"{NAME}.pub", certify(Authority.new("tests", utc_now()), card, [Role.SITE], utc_now()))
    (folder / "registrar.pub").write_bytes(SigningKey.generate().public)
    path = folder / "participant.toml"
    path.write_text(
        f'name = "{NAME}"\ndata_dir = "data"\n[kafka]\nbootstrap = "{bootstrap}"\ntls = "{NAME}.tls"\n{kafka}\n'
        f'[keys]\nsigning = "{NAME}.sign"\nopening = "{NAME}.open"\nregistrar = "registrar.pub"\n{more}'
    )
    return path


def case_of(path: Path, **figures: object) -> Case:
    return Case(Who.SITE, path, machine(**figures))
