"""Takes out of a text what must not leave this house: keys, passwords, paths of data, and whose proxy is used.

Knows:    a secret may stand in a text raw, in hexadecimal, or in base64; a key in PEM line by line.
Never:    shows what it looks for.
"""

import base64
import json
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from coordinator.settings import Settings as CoordinatorSettings
from participant.settings import Settings as SiteSettings
from protocol.key_files import retired_beside
from protocol.tls.files import KEY
from runtime.sections import Kafka
from schemas.errors import LocalError
from wardround.doctor.case import Case

OUT = "(left out)"
_LEAST = 4  # a shorter text would blacken half of every line
_LINE = 32  # of PEM: shorter ones are its head, its foot and its last
_KEY_BYTES_MAX = 64 * 1024
_URL_USER = re.compile(r"(//)[^/@\s]+@")


class Redaction:
    """The secrets of one case."""

    def __init__(self, secrets: Iterable[str]) -> None:
        found = {one for one in secrets if len(one) >= _LEAST}
        found |= {json.dumps(one, ensure_ascii=plain)[1:-1] for one in found for plain in (True, False)}
        self._secrets = sorted(found, key=len, reverse=True)

    @classmethod
    def of(cls, case: Case) -> "Redaction":
        """Everything of this case that is a secret; what cannot be read is none that could slip out."""
        found = [*_of_environment(case.machine.environ.items())]
        if case.settings is not None:
            found += [*_of_settings(case.settings), *_of_proxy(case.settings.kafka)]
        if case.kafka is not None and case.kafka.tls is not None:
            found += _of_key(case.kafka.tls / KEY)
        if case.registrar_sign is not None:
            found += [form for path in _ring(case.registrar_sign) for form in _of_key(path)]
        if case.choice is not None and case.choice.proxy is not None:
            found += [case.choice.proxy.user, case.choice.proxy.host]
        return cls(found)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, OUT)
        return _URL_USER.sub(rf"\g<1>{OUT}@", text)

    def __repr__(self) -> str:
        return f"Redaction({len(self._secrets)} secrets)"


def _of_settings(settings: SiteSettings | CoordinatorSettings) -> Iterable[str]:
    for path in (settings.keys.signing, settings.keys.opening):
        for one in _ring(path):
            yield from _of_key(one)
    if isinstance(settings, SiteSettings):
        for study in settings.studies:
            yield from (str(path) for path in (study.data, study.task_folder) if path is not None)
            yield from study.options.values()


def _of_proxy(kafka: Kafka) -> Iterable[str]:
    yield kafka.proxy_user
    if kafka.proxy_password_file is not None:
        yield from _of_file(kafka.proxy_password_file)
        yield str(kafka.proxy_password_file)
    if "://" in kafka.proxy:
        yield from _of_url(kafka.proxy)


def _of_environment(variables: Iterable[tuple[str, str]]) -> Iterable[str]:
    for name, value in variables:
        if name.lower() in ("https_proxy", "http_proxy", "all_proxy"):
            yield from _of_url(value)
        if name.upper().endswith(("PASSWORD", "TOKEN", "SECRET", "_DATA")):
            yield value


def _of_url(url: str) -> Iterable[str]:
    try:
        parts = urlsplit(url)
        found = [parts.username or "", parts.password or "", parts.hostname or ""]
    except ValueError:
        found = [url]
    yield from (form for one in found for form in (one, unquote(one)))


def _of_file(path: Path) -> Iterable[str]:
    """A password, as it stands, and as a header would carry it."""
    try:
        password = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return
    yield password
    yield base64.b64encode(password.encode()).decode()


def _ring(path: Path) -> Iterable[Path]:
    try:
        return (path, *retired_beside(path))
    except LocalError:
        return (path,)


def _of_key(path: Path) -> Iterable[str]:
    """A private key in every way that a text may hold it."""
    try:
        with path.open("rb") as file:
            secret = file.read(_KEY_BYTES_MAX)
    except OSError:
        return
    if secret.startswith(b"-----BEGIN"):
        yield from (line for line in secret.decode("ascii", "replace").splitlines() if len(line) > _LINE)
        return
    if secret:
        yield secret.hex()
        yield secret.hex().upper()
        yield base64.b64encode(secret).decode().rstrip("=")
        yield base64.urlsafe_b64encode(secret).decode().rstrip("=")
        yield secret.decode("latin-1")
