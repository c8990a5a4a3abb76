"""Say who belongs to the federation: the registrar's tool. Its private key signs members, rosters and plans.

Keep registrar.sign and ca.key on a machine of their own, off the network as long as they are not needed; members get
registrar.pub with their invitation.

example:
  wardround registrar keys --out keys
  wardround registrar invite --broker kafka.example.org:443
  wardround registrar approve clinic-north.txt         shows its fingerprint, takes it in, writes the answer
  wardround registrar revoke clinic-north              its key was stolen, or it leaves
  wardround registrar rotate                           the registrar's own key is exchanged
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
    rotate = options.subcommand(
        into,
        "rotate",
        run_rotate,
        "Hand the registrar's key on to a new one, in mid-study: every member follows by the log. The former key stays "
        "beside. Interrupted, it is run again and goes on.",
        "wardround registrar rotate --key keys/registrar.sign",
    )
    registrar_joining.add_arguments(into)
    registrar_certificates.add_arguments(into)
    registrar_board.add_arguments(into)
    registrar_brokers.add_arguments(into)
    for one in (roster, revoke):
        options.add_topic_options(one)
    for one in (roster, revoke, rotate):
        options.add_registrar_key(one)
        options.add_broker(one)
        options.add_json(one)


def run_keys(arguments: argparse.Namespace) -> int:
    from registry.keyfiles import make_registrar_keys
    from registry.pki.authority import Authority, utc_now
    from registry.pki.issuing import registrar_tls, renewer_tls

    passphrase = options.passphrase(arguments)
    key = make_registrar_keys(arguments.out, passphrase)
    authority = Authority.at(arguments.out, arguments.federation, utc_now(), passphrase)
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


def run_rotate(arguments: argparse.Namespace) -> int:
    from registry.registrar_rotation import KafkaLog, rotate_registrar_key

    options.registrar_key(arguments)  # it is there, and no member's
    log = KafkaLog(options.registrar_settings(arguments))
    with options.waiting(f"talking to {arguments.broker}"):
        rotating = rotate_registrar_key(arguments.key, log, passphrase=options.passphrase(arguments))
        rotated = options.run(arguments, rotating)
    done = "the rotation that was begun before is finished" if rotated.resumed else "the registrar has a new key"
    public = arguments.key.with_suffix(".pub")
    lines = [
        f"{done}; the former ones stay beside:",
        *(f"  {path}" for path in rotated.retired),
        f"fingerprint: {rotated.fingerprint}",
        f"roster {rotated.roster.serial} is the first under it: members follow by themselves, also who is away now",
        f"back the folder up; who joins from now on needs {public} or a new `wardround registrar invite`",
    ]
    values = {
        "fingerprint": rotated.fingerprint, "former": rotated.former.hex(), "serial": rotated.roster.serial,
        "retired": [str(path) for path in rotated.retired], "resumed": rotated.resumed,
    }  # fmt: skip
    options.emit(arguments, values, lines)
    return 0
