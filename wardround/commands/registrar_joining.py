"""How the registrar takes members in: invitations, approvals, access rules."""

import argparse
import sys
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import LocalError
from wardround.commands import options
from wardround.commands.registrar_certificates import lifetime_of

if TYPE_CHECKING:
    from registry.grants import RulesDifference
    from registry.joining.approving import Approved
    from registry.keyfiles import MemberCard
    from registry.pki.authority import Authority
    from registry.registrar import Registrar
    from schemas.records import Role, Roster

ROLES = ("site", "coordinator", "trustee", "auditor", "operator")
_INVITE = (
    "Write an invitation: brokers' address, root certificate, registrar's public key. Nothing in it is secret; a site "
    "believes what it names, so hand it over on a way that you trust."
)
_APPROVE = (
    "Take members in: shows each request's fingerprint, publishes members and roster, makes topics, rights and quotas, "
    "issues certificates, and writes the answers, files to send back. Running it again changes nothing but the "
    "certificates."
)
_ACL = (
    "Compare the brokers' access rules with the table of rights, for the members and studies on the log. Exit code 1 "
    "when they differ; --apply mends the rules of members."
)


def add_arguments(into: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    invite = options.subcommand(
        into, "invite", run_invite, _INVITE, "wardround registrar invite --broker kafka.example.org:443 --study lung"
    )
    invite.add_argument("--federation", default="wardround", metavar="NAME", help="what the federation is called")
    invite.add_argument("--study", action="append", default=[], help="a study to look at; repeatable")
    invite.add_argument("--out", type=Path, default=Path("invitation.txt"), metavar="FILE", help="where to write")
    _add_approve(into, "approve")
    _add_approve(into, "member")
    acl = options.subcommand(into, "acl", run_acl, _ACL, "wardround registrar acl check")
    options.add_topic_options(acl)
    options.add_passphrase(acl)
    acl.add_argument("what", choices=("check", "apply"), help="compare, or compare and mend")
    for one in (invite, acl):
        options.add_registrar_key(one)
        options.add_json(one)
        options.add_broker(one)


def _add_approve(into: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str) -> None:
    """`member` is what `approve` was called before; it published no roster."""
    old = name == "member"
    text = "The words of before for `registrar approve --no-roster`, and, with --revoke, for `registrar revoke`."
    approve = options.subcommand(
        into,
        name,
        run_member if old else run_approve,
        text if old else _APPROVE,
        f"wardround registrar {name} clinic-north.txt",
    )
    said = "the file that the member sent (NAME.pub)"
    approve.add_argument("requests", metavar="REQUEST", nargs=None if old else "+", help=said)
    approve.add_argument(
        "--role", choices=ROLES, action="append", help="repeatable (default: as it is; of a new member: site)"
    )
    approve.add_argument("--institution", default="", help="its name in full, instead of what the request says")
    approve.add_argument("--study", action="append", default=[], help="only these studies; repeatable (default: all)")
    approve.add_argument(
        "--size-cap", default="20GB", metavar="SIZE", help="most a site's bodies take up on the broker"
    )
    approve.add_argument("--fingerprint", help="what the member read out: approves without asking, if it is the same")
    approve.add_argument("--member-broker", metavar="HOST:PORT", help="where members reach Kafka (default: as here)")
    approve.add_argument("--out", type=Path, metavar="FOLDER", help="where answers go (default: beside the request)")
    approve.add_argument("--lifetime", metavar="TIME", help="of its certificate, e.g. 90d or 12h (default: 90d)")
    if old:
        approve.add_argument("--revoke", action="store_true", help="revoke every key of NAME")
    else:
        approve.add_argument(
            "--no-roster", action="store_true", help="publish members alone; they count from `registrar roster` on"
        )
    options.add_topic_options(approve)
    options.add_registrar_key(approve)
    options.add_broker(approve)
    options.add_passphrase(approve)
    options.add_json(approve)


def run_invite(arguments: argparse.Namespace) -> int:
    from registry.joining.invitation import Invitation

    key = options.registrar_key(arguments)
    try:
        roots = (arguments.key.parent / "ca.pem").read_bytes()
    except OSError as error:
        raise LocalError(
            f"the authority's certificate {arguments.key.parent / 'ca.pem'} cannot be read: {error.strerror}",
            hint="it lies beside the registrar's key, as `wardround registrar keys` writes it",
        ) from None
    try:
        invitation = Invitation(arguments.federation, arguments.broker, roots, key.public, tuple(arguments.study))
    except ValueError as error:
        raise LocalError(f"no invitation can be made: {error}", hint="a study is named by its id, e.g. lung") from None
    invitation.save(arguments.out, key)
    lines = [
        f"{arguments.out} invites to {arguments.federation} at {arguments.broker}",
        f"the registrar's fingerprint in it: {invitation.fingerprint}",
    ]
    values = {"file": str(arguments.out), "broker": arguments.broker, "fingerprint": invitation.fingerprint}
    options.emit(arguments, values, lines)
    return 0


def run_member(arguments: argparse.Namespace) -> int:
    if arguments.revoke:
        options.note_old_words("registrar member NAME --revoke", "registrar revoke NAME")
        arguments.name = Path(arguments.requests).name.removesuffix(".pub")
        return run_revoke(arguments)
    options.note_old_words("registrar member", "registrar approve --no-roster")
    arguments.requests, arguments.no_roster = [Path(arguments.requests)], True
    return run_approve(arguments)


def run_approve(arguments: argparse.Namespace) -> int:
    from registry.keyfiles import check_place, read_card

    key, requests = options.registrar_key(arguments), [Path(one) for one in arguments.requests]
    cards = {path: read_card(path) for path in requests}
    outs = {path: (arguments.out or path.parent) / f"{card.name}.answer.txt" for path, card in cards.items()}
    for out in outs.values():
        check_place(out)
    options.size_bytes(arguments.size_cap)
    authority = _authority(arguments)
    if arguments.fingerprint is not None and len(cards) > 1:
        raise LocalError("--fingerprint is of one request", hint="approve them one by one, or answer on a terminal")
    for path, card in cards.items():
        _confirm(arguments, path, card)
    answers, serial = options.with_registrar(
        arguments, lambda registrar: _approve(arguments, registrar, authority, cards)
    )
    values, lines = [], list[str]()
    for path, approved in answers.items():
        approved.answer.save(outs[path], key)
        told, said = _approved(arguments, cards[path], path, approved, outs[path])
        values.append(told)
        lines += said
    lines.append(f"roster {serial}" if serial else "they count from the next roster on: `wardround registrar roster`")
    options.emit(arguments, {"members": values, "serial": serial}, lines)
    return 0


async def _approve(
    arguments: argparse.Namespace, registrar: "Registrar", authority: "Authority", cards: "Mapping[Path, MemberCard]"
) -> "tuple[dict[Path, Approved], int]":
    from registry.joining.approving import Terms, approve

    terms = Terms(
        bootstrap=arguments.member_broker or arguments.broker,
        roles=_roles(arguments),
        studies=tuple(arguments.study),
        size_cap_bytes=options.size_bytes(arguments.size_cap),
        institution=arguments.institution,
        lifetime=lifetime_of(arguments.lifetime),
    )
    answers = await approve(registrar, authority, cards, terms)
    roster = None if arguments.no_roster else await registrar.publish_roster()
    return answers, roster.serial if roster is not None else 0


def _roles(arguments: argparse.Namespace) -> "tuple[Role, ...]":
    from schemas.records import Role

    return tuple(Role[name.upper()] for name in arguments.role or ())


def _approved(
    arguments: argparse.Namespace, card: "MemberCard", request: Path, approved: "Approved", out: Path
) -> tuple[dict[str, Any], list[str]]:
    """What is told of one member: for scripts, and for a person. Installs the certificate where its key lies here."""
    from registry.pki.issuing import install_beside

    answer, roles = approved.answer, [role.name.lower() for role in approved.roles]
    installed = install_beside(request, answer.issued)
    institution = arguments.institution or card.institution
    lines = [
        f"{card.name} ({institution}) approved as {', '.join(roles)}, fingerprint {card.fingerprint}",
        f"  its certificate runs until {answer.until:%Y-%m-%d %H:%M} UTC",
        f"  {out} is the answer"
        + ("; its key lies on this machine: the certificate is installed already" if installed else ": send it back"),
    ]
    told = {
        "name": card.name,
        "roles": roles,
        "fingerprint": card.fingerprint,
        "until": answer.until.isoformat(),
        "answer": str(out),
        "installed": installed,
    }
    return told, lines


def run_acl(arguments: argparse.Namespace) -> int:
    apply = arguments.what == "apply"
    found = options.with_registrar(arguments, lambda registrar: registrar.rules_difference(apply=apply))
    options.emit(arguments, _difference(found), _difference_lines(found, mended=apply))
    left = found.strange if apply else not found.is_none
    return 1 if left else 0


def _difference(found: "RulesDifference") -> Mapping[str, Any]:
    return {
        "missing": [str(rule) for rule in found.missing],
        "beyond": [str(rule) for rule in found.beyond],
        "strange": list(found.strange),
    }


def _difference_lines(found: "RulesDifference", *, mended: bool) -> list[str]:
    if found.is_none:
        return ["the brokers' access rules are those of the table"]
    lines = [f"{'added' if mended else 'missing'}: {rule}" for rule in found.missing]
    lines += [
        f"{'beyond the table, taken away if a member has it' if mended else 'beyond the table'}: {rule}"
        for rule in found.beyond
    ]
    return lines + [f"of another kind: {text}" for text in found.strange]


def _authority(arguments: argparse.Namespace) -> "Authority":
    from registry.pki.authority import Authority

    return Authority.load(arguments.key.parent, options.passphrase(arguments))


def _confirm(arguments: argparse.Namespace, request: Path, card: "MemberCard") -> None:
    """Nobody is taken in whose fingerprint was not heard, but one whose key was made on this very machine."""
    from protocol.tls.files import public_of
    from protocol.tls.requests import requested_key
    from registry.keyfiles import tls_folder

    if arguments.fingerprint is not None:
        if arguments.fingerprint.replace("-", "").replace(" ", "").upper() != card.fingerprint.replace("-", ""):
            raise LocalError(
                f"the request of {card.name} has fingerprint {card.fingerprint}, not {arguments.fingerprint}",
                hint="the request was exchanged on its way, or misheard; nothing was done",
            )
        return
    if public_of(tls_folder(request)) == requested_key(card.request):
        return
    if not sys.stdin.isatty():
        raise LocalError(
            f"nobody has confirmed the request of {card.name} ({card.institution}), fingerprint {card.fingerprint}",
            hint="call the institution, have it read out, and give it: --fingerprint XXXX-XXXX-XXXX-XXXX",
        )
    sys.stderr.write(f"{card.name} ({card.institution}) asks to belong. Fingerprint:\n\n    {card.fingerprint}\n\n")
    sys.stderr.write("Call the institution by a number you knew before. Does it read out the same? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise LocalError(f"{card.name} was not approved; nothing was done", hint="run it again after the call")


def run_revoke(arguments: argparse.Namespace) -> int:
    name = arguments.name
    roster, new = options.with_registrar(arguments, lambda registrar: said_anew(registrar, registrar.revoke(name)))
    since = "says so from the next round on" if new else "says so already, nothing was published"
    line = f"every key of {name} is revoked; roster {roster.serial} {since}"
    options.emit(arguments, {"revoked": name, "serial": roster.serial, "new": new}, [line])
    return 0


async def said_anew(registrar: "Registrar", act: Awaitable["Roster"]) -> tuple["Roster", bool]:
    """The roster that an act leads to, and whether it is another one than before."""
    before = registrar.membership
    roster = await act
    return roster, before is None or before.serial != roster.serial
