"""Make a member's keys on the member's own machine.

Writes NAME.sign and NAME.open (private: they stay here, mode 0600) and NAME.pub, which goes to the registrar by a way
on which it cannot be exchanged: read the fingerprint to each other on the telephone.

example:
  wardround keys new clinic-north --out keys
"""

import argparse
from pathlib import Path

from wardround.commands import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    into = parser.add_subparsers(required=True, metavar="new")
    new = options.subcommand(
        into,
        "new",
        run,
        "Make the key pairs of one member. Existing files are never overwritten.",
        "wardround keys new clinic-north --out keys",
    )
    new.add_argument("name", help="the member's name: lower-case letters, digits and hyphens")
    new.add_argument("--out", type=Path, default=Path("keys"), metavar="FOLDER", help="where to write (default: keys)")
    options.add_json(new)


def run(arguments: argparse.Namespace) -> int:
    from protocol.signing import key_id
    from registry.keyfiles import make_member_keys

    folder = arguments.out
    card = make_member_keys(arguments.name, folder)
    fingerprint = f"{key_id(card.sign).hex()} {key_id(card.open).hex()}"
    lines = [
        f"{folder / card.name}.sign  private, signs what {card.name} sends",
        f"{folder / card.name}.open  private, opens what is sealed to {card.name}",
        f"{folder / card.name}.pub   for the registrar",
        f"fingerprint: {fingerprint}",
    ]
    options.emit(arguments, {"name": card.name, "folder": str(folder), "fingerprint": fingerprint}, lines)
    return 0
