"""A site's working folder: its keys, whom it believes, and settings that a person may read and change.

Knows:    which file lies where; what `site init` writes is what `participant run` reads.
Never:    overwrites a folder that is in use.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from protocol.files import write_whole
from protocol.key_files import read_registrar_key
from protocol.tls.files import AUTHORITY, pem
from registry.joining.answer import Answer
from registry.joining.invitation import Invitation
from registry.keyfiles import MemberCard, make_member_keys, read_card, tls_folder
from schemas.errors import LocalError

SETTINGS, REQUEST_FILE = "participant.toml", "request.txt"


@dataclass(frozen=True, slots=True)
class Asked:
    """What `site init` asks for.

    name          of the site in the federation
    institution   its name in full, for people
    patients      the folder with its data, which no command copies; None: said later, study by study
    proxy         "none", "environment", or http://host:port
    """

    name: str
    institution: str
    patients: Path | None = None
    proxy: str = "none"
    proxy_user: str = ""
    proxy_password_file: Path | None = None


@dataclass(frozen=True, slots=True)
class SiteFolder:
    """Paths of a site's working folder."""

    folder: Path

    @property
    def settings(self) -> Path:
        return self.folder / SETTINGS

    @property
    def request(self) -> Path:
        return self.folder / REQUEST_FILE

    @property
    def registrar(self) -> Path:
        return self.folder / "keys" / "registrar.pub"

    def tls(self, name: str) -> Path:
        return tls_folder(self.folder / "keys" / f"{name}.sign")

    def refuse_used(self) -> None:
        """Raises LocalError where a site is set up here already."""
        if self.settings.exists():
            raise LocalError(
                f"{self.folder} is a site's folder already",
                hint="name another folder; keys that are in use are never overwritten",
            )

    def make(self, invitation: Invitation, asked: Asked) -> MemberCard:
        """Keys and settings for a new site. Raises LocalError where one is set up here already."""
        self.refuse_used()
        keys = self.folder / "keys"
        card = make_member_keys(asked.name, keys, institution=asked.institution)
        write_whole(self.registrar, invitation.registrar)
        write_whole(self.tls(asked.name) / AUTHORITY, invitation.roots)
        write_whole(self.settings, _settings_text(invitation, asked).encode())
        return card

    def card(self, name: str) -> MemberCard:
        """The card of this site. Raises LocalError."""
        return read_card(self.folder / "keys" / f"{name}.pub")

    def join(self, name: str, answer_file: Path, now: datetime, certificate: Path | None = None) -> Answer:
        """Check an answer and install it. Raises LocalError; then nothing has changed.

        certificate   of the hospital's own authority (PEM), where the answer vouches for that one
        """
        answer = Answer.load(answer_file, read_registrar_key(self.registrar))
        if certificate is not None:
            try:
                answer = answer.with_leaf(pem((x509.load_pem_x509_certificates(certificate.read_bytes())[0],)))
            except (OSError, ValueError):
                raise LocalError(f"{certificate} holds no certificate in PEM", hint="have your PKI issue it") from None
        answer.install(name, self.tls(name), now)
        return answer


def _settings_text(invitation: Invitation, asked: Asked) -> str:
    name = asked.name
    proxy = f"proxy = {_text(asked.proxy)}"
    if asked.proxy_user:
        proxy += f"\nproxy_user = {_text(asked.proxy_user)}"
    if asked.proxy_password_file is not None:
        proxy += f"\nproxy_password_file = {_text(asked.proxy_password_file.resolve())}  # mode 0600"
    patients = _text(asked.patients.resolve()) if asked.patients is not None else '"/where/the/tables/are"'
    studies = "".join(f"# asked for: {study}\n" for study in invitation.studies)
    return f"""# The participant of {name} ({_plain(asked.institution)}) in {_plain(invitation.federation)}.
# Relative paths count from this file. `wardround doctor --config participant.toml` checks it all.

name = {_text(name)}
data_dir = "data"  # what the service has to remember; never restored from a backup

[kafka]
bootstrap = {_text(invitation.bootstrap)}
tls = "keys/{name}.tls"
# how connections leave this house: "none", "environment" (HTTPS_PROXY, NO_PROXY), or "http://host:port"
{proxy}

[keys]
signing = "keys/{name}.sign"
opening = "keys/{name}.open"
registrar = "keys/registrar.pub"

[metrics]
host = "127.0.0.1"
port = 9464

[policy]
cohort_min = 3  # the fewest sites whose updates are added up with yours
test_min = 5    # with fewer test patients no measurement leaves

# Approving a study is naming its plan's digest, which `wardround status` shows and the study's author tells you.
{studies}# [[studies]]
# plan = "64 hexadecimal digits"
# task_folder = "/where/the/task/is"
# data = {patients}
"""


def _text(value: object) -> str:
    """A TOML basic string; JSON's escapes are TOML's."""
    return json.dumps(str(value))


def _plain(text: str) -> str:
    return " ".join(text.split())
