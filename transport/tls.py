"""TLS 1.3 with certificates both ways: one living context for each folder of keys, renewed without losing connections.

Knows:    a context that loads another certificate uses it for the next connection; those that are open go on.
Never:    connects to a broker whose certificate is not of a root in ca.pem and of the name that was dialled.
Source:   RFC 8446.
"""

import ssl
from datetime import UTC, datetime
from pathlib import Path

from protocol.key_files import read_text_key
from protocol.tls.files import AUTHORITY, CERTIFICATE, HOW, KEY, certificate_in
from schemas.errors import LocalError

_contexts: dict[Path, ssl.SSLContext] = {}
_stamps: dict[Path, tuple[int, ...]] = {}


def context_of(folder: Path) -> ssl.SSLContext:
    """The context for the keys in `folder` (ca.pem, cert.pem, key.pem), as they are now.

    Raises LocalError naming the file that is missing, open to others, out of date, or does not fit the others.
    """
    folder = folder.resolve()
    if (context := _contexts.get(folder)) is None or _stamps[folder] != _stamp(folder):
        context = _load(context or _new_context(), folder)
        _contexts[folder], _stamps[folder] = context, _stamp(folder)
    return context


def refresh() -> list[Path]:
    """Have every living context take up what lies in its folder now; returns those of which something had changed.

    Raises LocalError as `context_of`; the context then goes on with what it had.
    """
    changed = [folder for folder, stamp in _stamps.items() if _stamp(folder) != stamp]
    for folder in changed:
        context_of(folder)
    return changed


def _new_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def _load(context: ssl.SSLContext, folder: Path) -> ssl.SSLContext:
    read_text_key(folder / KEY, "TLS")
    leaf, roots = certificate_in(folder), folder / AUTHORITY
    now = datetime.now(UTC)
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        days = f"{leaf.not_valid_before_utc:%Y-%m-%d %H:%M} to {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        raise LocalError(
            f"the certificate {folder / CERTIFICATE} is valid from {days}, and now it is {now:%Y-%m-%d %H:%M}",
            hint="is the clock right? If the certificate has run out: `wardround site enrol`, and send the request to "
            "the registrar",
        )
    try:
        context.load_verify_locations(roots)
    except OSError as error:  # an SSLError is one
        raise LocalError(f"{roots} holds no root certificate: {error.strerror or error}", hint=HOW) from None
    try:
        context.load_cert_chain(folder / CERTIFICATE, folder / KEY, password="")
    except ssl.SSLError as error:
        raise LocalError(
            f"{KEY} and {CERTIFICATE} of {folder} do not belong together ({error.reason})",
            hint="a certificate goes with the key that it was asked for with; ask for another one",
        ) from None
    return context


def _stamp(folder: Path) -> tuple[int, ...]:
    found = []
    for name in (AUTHORITY, CERTIFICATE, KEY):
        try:
            status = (folder / name).stat()
            found += [status.st_mtime_ns, status.st_ino]
        except OSError:
            found.append(-1)
    return tuple(found)
