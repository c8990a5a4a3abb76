"""Join a federation as a hospital: a working folder, a request, and the registrar's answer.

`site init` asks a few questions and writes the folder; keys are made there and stay there. `site enrol` writes the
request, a file to mail to the registrar, and shows the fingerprint that you will be asked for on the telephone.
`site join` checks the answer that comes back, and installs it. Nothing in request and answer is secret.

example:
  wardround site init clinic-north --invitation invitation.txt
  wardround site enrol clinic-north
  wardround site join clinic-north clinic-north.answer.txt
  wardround participant run --config clinic-north/participant.toml
"""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import LocalError
from wardround.commands import options

if TYPE_CHECKING:
    from registry.joining.answer import Answer
    from registry.joining.site_folder import SiteFolder

_INIT = (
    "Make a site's working folder: keys, settings, the request for the registrar. Asks on a terminal for what is not "
    "given."
)
_ENROL = "Write the request to mail to the registrar, and show its fingerprint. It may be run again at any time."
_JOIN = "Check the registrar's answer and install the certificate that it brings. A wrong one changes nothing."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    into = parser.add_subparsers(required=True, metavar="init|enrol|join")
    init = options.subcommand(
        into, "init", run_init, _INIT, "wardround site init clinic-north --invitation invitation.txt --data /srv/tables"
    )
    init.add_argument("--invitation", type=Path, metavar="FILE", help="the file that the registrar sent")
    init.add_argument("--name", help="the site's name: lower-case letters, digits, hyphens (default: the folder's)")
    init.add_argument("--institution", help="its name in full, for people")
    init.add_argument("--data", type=Path, metavar="FOLDER", help="where the site's tables are; nothing is copied")
    init.add_argument(
        "--proxy", help='how connections leave the house: "none", "environment", or http://host:port (default: none)'
    )
    init.add_argument("--proxy-user", default="", help="for a proxy that asks who you are (Basic)")
    init.add_argument("--proxy-password-file", type=Path, metavar="FILE", help="mode 0600; its first line counts")
    enrol = options.subcommand(into, "enrol", run_enrol, _ENROL, "wardround site enrol clinic-north")
    enrol.add_argument("--out", type=Path, metavar="FILE", help="where the request goes (default: FOLDER/request.txt)")
    join = options.subcommand(into, "join", run_join, _JOIN, "wardround site join clinic-north clinic-north.answer.txt")
    for one in (init, enrol, join):
        one.add_argument("folder", type=Path, metavar="FOLDER", help="the site's working folder")
        options.add_json(one)
    join.add_argument(
        "--invitation", type=Path, metavar="FILE", help="a newer one, where the registrar's key was rotated since"
    )
    join.add_argument(
        "--certificate", type=Path, metavar="FILE", help="of your own PKI, where the answer vouches for its authority"
    )
    join.add_argument("answer", type=Path, metavar="ANSWER", help="the file that the registrar sent back")


def run_init(arguments: argparse.Namespace) -> int:
    from registry.joining.invitation import Invitation
    from registry.joining.site_folder import Asked, SiteFolder
    from registry.keyfiles import check_name

    folder = SiteFolder(arguments.folder)
    folder.refuse_used()  # and what else would make the answers worthless, before anything is asked
    path = arguments.invitation or Path(_asked("invitation", "the registrar's invitation, a file", None))
    invitation = Invitation.load(path)
    name = arguments.name or _asked("name", "the site's name", arguments.folder.resolve().name)
    check_name(name)
    institution = arguments.institution or _asked("institution", "the institution's name in full", name)
    data = arguments.data
    if data is None and sys.stdin.isatty():
        data = Path(said) if (said := _asked("data", "the folder with the tables (may be said later)", "")) else None
    if data is not None and not data.is_dir():
        raise LocalError(f"the data folder {data} is not there", hint="name it with --data, or leave it out for now")
    asked = Asked(name, institution, data, *_way_out(arguments))
    card = folder.make(invitation, asked)
    lines = [
        f"{folder.settings}  the settings: read them, they are yours",
        f"{arguments.folder / 'keys'}  private keys: they stay on this machine",
        f"registrar of {invitation.federation}: fingerprint {invitation.fingerprint}",
        f"next: `wardround site enrol {arguments.folder}`",
    ]
    values = {"name": name, "folder": str(arguments.folder), "fingerprint": card.fingerprint}
    options.emit(arguments, values, lines)
    return 0


def _way_out(arguments: argparse.Namespace) -> tuple[str, str, Path | None]:
    """The proxy, as whom, and the file with the password: as given, else asked for on a terminal. Raises LocalError."""
    from transport.dialing import choice_of

    asks = sys.stdin.isatty()
    proxy, user, file = arguments.proxy, arguments.proxy_user, arguments.proxy_password_file
    if proxy is None:
        proxy = _asked("proxy", "the way out: none, environment, or the proxy as http://host:port", "none")
    if asks and not user and proxy not in ("none", "environment"):
        user = _asked("proxy-user", "the user that the proxy knows us as (empty: it does not ask)", "")
    if asks and user and file is None:
        file = Path(_asked("proxy-password-file", "the file with its password, mode 0600", None))
    choice = choice_of(proxy, user, file)
    if choice.proxy is not None:
        choice.proxy.authorization()
    return proxy, user, file


def run_enrol(arguments: argparse.Namespace) -> int:
    from registry.armour import REQUEST, write_armoured
    from registry.joining.site_folder import SiteFolder

    folder = SiteFolder(arguments.folder)
    card = folder.card(_name(folder))
    out = arguments.out or folder.request
    write_armoured(out, REQUEST, card.to_bytes())
    lines = [
        f"{out} is the request of {card.name} ({card.institution}): mail it to the registrar",
        "when the registrar calls, read this out:",
        "",
        f"    {card.fingerprint}",
        "",
        f"with the answer that comes back: `wardround site join {arguments.folder} ANSWER`",
    ]
    options.emit(arguments, {"name": card.name, "file": str(out), "fingerprint": card.fingerprint}, lines)
    return 0


def run_join(arguments: argparse.Namespace) -> int:
    from registry.joining.site_folder import SiteFolder
    from registry.pki.authority import utc_now

    folder = SiteFolder(arguments.folder)
    name = _name(folder)
    if arguments.invitation is not None:
        answer = _join_anew(arguments, folder, name)
    else:
        answer = folder.join(name, arguments.answer, utc_now(), arguments.certificate)
    lines = [
        f"{name} belongs: its certificate runs until {answer.until:%Y-%m-%d %H:%M} UTC and is renewed by itself",
        f"try the way to the federation: `wardround doctor --config {folder.settings}`",
        f"then run it: `wardround participant run --config {folder.settings}`",
    ]
    options.emit(arguments, {"name": name, "until": answer.until.isoformat()}, lines)
    return 0


def _join_anew(arguments: argparse.Namespace, folder: "SiteFolder", name: str) -> "Answer":
    """Pin the key of a newer invitation, once an answer under it holds."""
    from protocol.files import write_whole
    from registry.joining.answer import Answer
    from registry.joining.invitation import Invitation
    from registry.pki.authority import utc_now

    invitation = Invitation.load(arguments.invitation)
    answer = Answer.load(arguments.answer, invitation.registrar)
    answer.install(name, folder.tls(name), utc_now())
    write_whole(folder.registrar, invitation.registrar)
    return answer


def _name(folder: "SiteFolder") -> str:
    from participant.settings import Settings
    from runtime.settings import load_settings

    if not folder.settings.exists():
        raise LocalError(f"{folder.folder} is no site's folder", hint="make one: `wardround site init FOLDER`")
    return load_settings(Settings, folder.settings, os.environ).name


def _asked(what: str, question: str, default: str | None) -> str:
    """What a person answers; without a terminal the default, or an error that names the option."""
    if not sys.stdin.isatty():
        if default:
            return default
        raise LocalError(f"--{what} is missing", hint=f"give {question} with --{what}; on a terminal it is asked for")
    sys.stderr.write(f"{question}{f' [{default}]' if default else ''}: ")
    sys.stderr.flush()
    said = sys.stdin.readline().strip() or default
    if said is None:
        raise LocalError(f"{question} is needed", hint=f"give it with --{what}")
    return said
