"""How the registrar keeps certificates alive: renewals, attended or not, and a new authority for the old one."""

import argparse
import asyncio
import contextlib
import re
import signal
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import LocalError, TransientError
from wardround.commands import options

if TYPE_CHECKING:
    from registry.joining.renewals import Renewals

_RENEW = (
    "Renew the certificates that members ask for, for the keys that they have; nothing else. With --watch it goes on "
    "until SIGTERM or Ctrl-C, and may run unattended: it needs ca.key, and neither the registrar's key nor its rights."
)
_AUTHORITY = (
    "rotate: a new authority in the place of the old, which is believed beside it; every member is given its next "
    "certificate under the new one. retire: the old one is believed no more; only after every certificate that it gave "
    "has run out, and every broker has one of the new."
)
_VOUCH = (
    "Let a hospital's own PKI issue its site's certificates: its authority is vouched for, for one member's name and "
    "no other. Publish the member first (`registrar approve`)."
)
UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def add_arguments(into: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    renew = options.subcommand(into, "renew", run_renew, _RENEW, "wardround registrar renew --watch")
    renew.add_argument("--watch", action="store_true", help="go on, one look after another")
    renew.add_argument("--every", type=float, default=30.0, metavar="SECONDS", help="between two looks (default: 30)")
    renew.add_argument("--lifetime", metavar="TIME", help="of the certificates, e.g. 90d or 12h (default: 90d)")
    renew.add_argument("--keys", type=Path, default=Path("keys"), metavar="FOLDER", help="where ca.key and ca.pem are")
    options.add_registrar_public(renew)
    rotate = options.subcommand(into, "authority", run_authority, _AUTHORITY, "wardround registrar authority rotate")
    rotate.add_argument("what", choices=("rotate", "retire"), help="a new authority, or the end of the old")
    rotate.add_argument("--federation", default="wardround", metavar="NAME", help="what the federation is called")
    options.add_registrar_key(rotate)
    options.add_passphrase(renew)
    vouch = options.subcommand(
        into, "vouch", run_vouch, _VOUCH, "wardround registrar vouch hospital-ca.pem --member clinic-north"
    )
    vouch.add_argument("certificate", type=Path, metavar="CA.pem", help="of the hospital's authority")
    vouch.add_argument("--member", required=True, metavar="NAME", help="the one name that it may issue for")
    vouch.add_argument("--out", type=Path, metavar="FILE", help="where the answer goes (default: NAME.vouched.txt)")
    options.add_registrar_key(vouch)
    options.add_broker(vouch)
    options.add_json(vouch)
    for one in (renew, rotate):
        options.add_broker(one)
        options.add_json(one)


def run_renew(arguments: argparse.Namespace) -> int:
    from protocol.key_files import read_registrar_key
    from protocol.signing import SigningKey
    from registry.joining.renewals import Renewals
    from registry.pki.authority import Authority, utc_now

    authority = Authority.load(arguments.keys, options.passphrase(arguments))
    public, lifetime = read_registrar_key(arguments.registrar), lifetime_of(arguments.lifetime)
    if not 0.1 <= arguments.every <= 3600:
        raise LocalError(f"--every {arguments.every:g} is none of 0.1 to 3600 seconds", hint="leave it out for 30")
    settings = options.kafka_settings(arguments, arguments.keys / "renewer.sign", arguments.registrar)

    async def whole() -> list[str]:
        renewals = Renewals(settings, public, authority, SigningKey.generate(), lifetime=lifetime, clock=utc_now)
        try:
            if not arguments.watch:
                return await renewals.answer()
            return await _watch(renewals, arguments.every)
        finally:
            await renewals.close()

    names = options.run(arguments, whole())
    line = f"renewed: {', '.join(names)}" if names else "nobody had asked for a certificate"
    options.emit(arguments, {"renewed": names}, [line])
    return 0


async def _watch(renewals: "Renewals", every_s: float) -> list[str]:
    """Until it is told to end; a broker that is away is waited for."""
    ended, given = asyncio.Event(), list[str]()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    while not ended.is_set():
        with contextlib.suppress(TransientError):
            given += await renewals.answer()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await ended.wait()
    return given


def run_authority(arguments: argparse.Namespace) -> int:
    from registry.joining.renewals import Renewals
    from registry.pki.authority import utc_now
    from registry.pki.rotation import retire, rotate

    key, folder = options.registrar_key(arguments), arguments.key.parent
    passphrase = options.passphrase(arguments)
    if arguments.what == "rotate":
        authority = rotate(folder, arguments.federation, utc_now(), passphrase)
    else:
        authority = retire(folder, passphrase)
    settings = options.registrar_settings(arguments)

    async def whole() -> list[str]:
        renewals = Renewals(settings, key.public, authority, key, clock=utc_now)
        try:
            return await renewals.reissue()
        finally:
            await renewals.close()

    names = options.run(arguments, whole())
    roots = [one.subject.rfc4514_string() for one in authority.roots]
    lines = [
        f"{folder / 'ca.pem'} believes: {'; '.join(roots)}",
        f"given a certificate anew: {', '.join(names) or 'nobody'}",
        "now the brokers: `wardround registrar broker` for each, and have them take up both files, one after another",
    ]
    options.emit(arguments, {"roots": roots, "members": names}, lines)
    return 0


def run_vouch(arguments: argparse.Namespace) -> int:
    from registry.joining.vouching import vouch
    from registry.pki.authority import Authority, utc_now

    key, passphrase = options.registrar_key(arguments), options.passphrase(arguments)
    authority, member = Authority.load(arguments.key.parent, passphrase), arguments.member
    answer = vouch(authority, arguments.certificate, member, arguments.broker, utc_now())
    out = arguments.out or Path(f"{member}.vouched.txt")
    answer.save(out, key)
    lines = [
        f"{out} is the answer: the authority of {arguments.certificate} may issue for {member}, and for nobody else",
        f"the hospital has a certificate issued for that key, with the subject O=federation, CN={member}, and types",
        f"  wardround site join FOLDER {out.name} --certificate CERTIFICATE.pem",
    ]
    options.emit(arguments, {"member": member, "answer": str(out), "until": answer.until.isoformat()}, lines)
    return 0


def lifetime_of(text: str | None) -> timedelta | None:
    """'90d', '12h', '10m' -> so long. Raises LocalError for anything else."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,5}) ?([dhms])", text)
    if match is None:
        raise LocalError(f"--lifetime `{text}` is no time", hint="write for example 90d, 12h or 10m")
    return timedelta(**{UNITS[match[2]]: int(match[1])})
