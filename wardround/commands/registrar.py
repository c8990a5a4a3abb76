"""Say who belongs to the federation: the registrar's tool. Its private key signs members, rosters and plans.

A member record becomes valid with the next roster: publish all members, then the roster. Keep registrar.sign on a
machine of its own, off the network as long as it is not needed; give registrar.pub to every member.

example:
  wardround registrar keys --out keys
  wardround registrar member keys/coordinator.pub --role coordinator
  wardround registrar member keys/clinic-north.pub --institution "Clinic North"
  wardround registrar roster
  wardround registrar member clinic-north --revoke      its key was stolen, or it leaves
"""

import argparse
import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from wardround.commands import options

if TYPE_CHECKING:
    from registry.registrar import Registrar
    from schemas.records import Roster

T = TypeVar("T")
LEAD_PARTITIONS_MAX = 1000
ROLES = ("site", "coordinator", "trustee", "auditor", "operator")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    into = parser.add_subparsers(required=True, metavar="keys|member|roster")
    keys = options.subcommand(
        into,
        "keys",
        run_keys,
        "Make the registrar's key pair. Existing files are never overwritten.",
        "wardround registrar keys --out keys",
    )
    keys.add_argument("--out", type=Path, default=Path("keys"), metavar="FOLDER", help="where to write (default: keys)")
    options.add_json(keys)
    member = options.subcommand(
        into,
        "member",
        run_member,
        "Publish a member's public keys and make a site's topics. It counts from the next roster on.",
        'wardround registrar member keys/clinic-north.pub --institution "Clinic North"',
    )
    member.add_argument("card", metavar="NAME.pub", help="the card that the member sent; with --revoke the bare name")
    member.add_argument("--role", choices=ROLES, action="append", help="repeatable (default: site)")
    member.add_argument("--institution", default="", help="its name in full, for people")
    member.add_argument("--study", action="append", default=[], help="only these studies; repeatable (default: all)")
    member.add_argument("--size-cap", default="20GB", metavar="SIZE", help="most a site's bodies take up on the broker")
    member.add_argument("--revoke", action="store_true", help="revoke every key of NAME and publish the roster at once")
    roster = options.subcommand(
        into,
        "roster",
        run_roster,
        "Publish the next roster: the newest record of every member.",
        "wardround registrar roster",
    )
    roster.add_argument(
        "--restore",
        action="store_true",
        help="go on over a log that is older than the last roster; only after every changed member was published again",
    )
    for one in (member, roster):
        one.add_argument(
            "--lead-partitions",
            type=int,
            metavar="N",
            help="how many coordinators can share the studies; fixed by the first command (default: 8)",
        )
        options.add_replication(one)
        options.add_registrar_key(one)
        options.add_broker(one)
        options.add_json(one)


def run_keys(arguments: argparse.Namespace) -> int:
    from registry.keyfiles import make_registrar_keys

    key = make_registrar_keys(arguments.out)
    lines = [
        f"{arguments.out}/registrar.sign  private: whoever holds it decides who belongs",
        f"{arguments.out}/registrar.pub   for every member, pinned in its settings",
        f"fingerprint: {key.key_id.hex()}",
    ]
    options.emit(arguments, {"folder": str(arguments.out), "fingerprint": key.key_id.hex()}, lines)
    return 0


def run_member(arguments: argparse.Namespace) -> int:
    from protocol.signing import key_id
    from registry.keyfiles import read_card
    from schemas.records import Role

    if arguments.revoke:
        return _run_revoke(arguments)
    card = read_card(Path(arguments.card))
    roles = tuple(Role[name.upper()] for name in arguments.role or ["site"])
    cap = size_bytes(arguments.size_cap)
    member = _with_registrar(
        arguments,
        lambda registrar: registrar.publish_member(
            card,
            roles=roles,
            institution=arguments.institution,
            studies=tuple(arguments.study),
            size_cap_bytes=cap,
        ),
    )
    names = [Role(role).name.lower() for role in member.roles]
    fingerprint = f"{key_id(card.sign).hex()} {key_id(card.open).hex()}"
    lines = [
        f"{member.name} published as {', '.join(names)}",
        f"fingerprint: {fingerprint}",
        "compare it on the telephone with what `keys new` showed at the member's; if it is another one, the card was "
        "exchanged on its way: do not publish the roster then",
        "now publish the roster: `wardround registrar roster`",
    ]
    values = {"name": member.name, "roles": names, "keys": len(member.keys), "fingerprint": fingerprint}
    options.emit(arguments, values, lines)
    return 0


def run_roster(arguments: argparse.Namespace) -> int:
    roster, new = _with_registrar(
        arguments, lambda registrar: _said_anew(registrar, registrar.publish_roster(restore=arguments.restore))
    )
    names = [name for name, _ in roster.members]
    done = "published" if new else "stands already, nothing was published"
    line = f"roster {roster.serial} {done}: {', '.join(names)}"
    options.emit(arguments, {"serial": roster.serial, "members": names, "new": new}, [line])
    return 0


def size_bytes(text: str) -> int:
    """'20GB' -> bytes, in powers of 1024. Raises LocalError for anything else."""
    from schemas.errors import LocalError

    match = re.fullmatch(r"([1-9]\d*) ?(MB|GB|TB)", text)
    if match is None:
        raise LocalError(f"--size-cap `{text}` is no size", hint="write for example 500MB, 20GB or 1TB")
    return int(match[1]) << {"MB": 20, "GB": 30, "TB": 40}[match[2]]


def _run_revoke(arguments: argparse.Namespace) -> int:
    name = Path(arguments.card).name.removesuffix(".pub")
    roster, new = _with_registrar(arguments, lambda registrar: _said_anew(registrar, registrar.revoke(name)))
    since = "says so from the next round on" if new else "says so already, nothing was published"
    line = f"every key of {name} is revoked; roster {roster.serial} {since}"
    options.emit(arguments, {"revoked": name, "serial": roster.serial, "new": new}, [line])
    return 0


async def _said_anew(registrar: "Registrar", act: Awaitable["Roster"]) -> tuple["Roster", bool]:
    """The roster that an act leads to, and whether it is another one than before."""
    before = registrar.membership
    roster = await act
    return roster, before is None or before.serial != roster.serial


def _with_registrar(arguments: argparse.Namespace, act: Callable[["Registrar"], Awaitable[T]]) -> T:
    from protocol.roster_memory import RosterMemory
    from registry.registrar import Registrar
    from schemas.errors import LocalError

    key = options.registrar_key(arguments)
    settings = options.kafka_settings(arguments)
    count: int | None = arguments.lead_partitions
    if count is not None and not 1 <= count <= LEAD_PARTITIONS_MAX:
        raise LocalError(f"--lead-partitions {count} is none of 1 to {LEAD_PARTITIONS_MAX}", hint="leave it out for 8")

    async def whole() -> T:
        memory = RosterMemory.beside(arguments.key, key.public)
        async with Registrar(
            settings, key, lead_partitions=count, replication=arguments.replication, memory=memory
        ) as registrar:
            registrar.refuse_foreign_log()
            return await act(registrar)

    with options.waiting(f"talking to {arguments.broker}"):
        return asyncio.run(whole())
