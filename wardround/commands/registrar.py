"""Say who belongs to the federation: the registrar's tool. Its private key signs members, rosters and plans.

Keep registrar.sign and ca.key on a machine of their own, off the network as long as they are not needed; members get
registrar.pub with their invitation.

example:
  wardround registrar keys --out keys
  wardround registrar invite --broker kafka.example.org:443
  wardround registrar approve clinic-north.txt         shows its fingerprint, takes it in, writes the answer
  wardround registrar revoke clinic-north              its key was stolen, or it leaves
"""

import argparse
from pathlib import Path

from wardround.commands import options, registrar_board, registrar_brokers, registrar_certificates, registrar_joining


def add_arguments(parser: argparse.ArgumentParser) -> None:
    into = parser.add_subparsers(required=True, metavar="COMMAND")
    keys = options.subcommand(
        into,
        "keys",
        run_keys,
        "Make the registrar's key pair, and the authority that issues certificates. Existing files are never "
        "overwritten.",
        "wardround registrar keys --out keys",
    )
    keys.add_argument("--federation", default="wardround", metavar="NAME", help="what the federation is called")
    keys.add_argument("--out", type=Path, default=Path("keys"), metavar="FOLDER", help="where to write (default: keys)")
    options.add_passphrase(keys)
    options.add_json(keys)
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
    revoke = options.subcommand(
        into,
        "revoke",
        registrar_joining.run_revoke,
        "Revoke every key of a member, at once: the brokers bar it, the next roster is without it, and its certificate "
        "is of no use any more.",
        "wardround registrar revoke clinic-north",
    )
    revoke.add_argument("name", metavar="NAME", help="the member's name")
    registrar_joining.add_arguments(into)
    registrar_certificates.add_arguments(into)
    registrar_board.add_arguments(into)
    registrar_brokers.add_arguments(into)
    for one in (roster, revoke):
        options.add_topic_options(one)
        options.add_registrar_key(one)
        options.add_passphrase(one)
        options.add_broker(one)
        options.add_json(one)


def run_keys(arguments: argparse.Namespace) -> int:
    from registry.keyfiles import make_registrar_keys
    from registry.pki.authority import Authority, utc_now
    from registry.pki.issuing import registrar_tls, renewer_tls

    key = make_registrar_keys(arguments.out)
    authority = Authority.at(arguments.out, arguments.federation, utc_now(), options.passphrase(arguments))
    registrar_tls(authority, arguments.out / "registrar.sign", utc_now())
    renewer_tls(authority, arguments.out / "renewer.sign", utc_now())
    lines = [
        f"{arguments.out}/registrar.sign  private: whoever holds it decides who belongs",
        f"{arguments.out}/registrar.pub   for every member, pinned in its settings",
        f"{arguments.out}/ca.key          private: whoever holds it can pass for anybody at the brokers",
        f"{arguments.out}/ca.pem          the root under which certificates are issued, for brokers",
        f"{arguments.out}/registrar.tls   how the registrar's own commands reach the brokers",
        f"{arguments.out}/renewer.tls     the same for `registrar renew`, which may do nothing else there",
        f"fingerprint: {key.key_id.hex()}",
    ]
    options.emit(arguments, {"folder": str(arguments.out), "fingerprint": key.key_id.hex()}, lines)
    return 0


def run_roster(arguments: argparse.Namespace) -> int:
    roster, new = options.with_registrar(
        arguments,
        lambda registrar: registrar_joining.said_anew(registrar, registrar.publish_roster(restore=arguments.restore)),
    )
    names = [name for name, _ in roster.members]
    done = "published" if new else "stands already, nothing was published"
    line = f"roster {roster.serial} {done}: {', '.join(names)}"
    options.emit(arguments, {"serial": roster.serial, "members": names, "new": new}, [line])
    return 0
