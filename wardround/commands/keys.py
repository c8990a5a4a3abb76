"""Make a member's keys on the member's own machine, and new ones in their place.

Writes NAME.sign and NAME.open (private: they stay here, mode 0600) and NAME.pub, which goes to the registrar by a way
on which it cannot be exchanged: read the fingerprint to each other on the telephone.

`rotate` makes new keys under the same names. The former ones stay beside, as NAME.open.1a2b3c4d, and are retired: they
open what was sealed to them, and sign until the registrar has published the new ones.

example:
  wardround keys new clinic-north --out keys
  wardround keys rotate clinic-north --out keys
"""

import argparse
from pathlib import Path

from wardround.commands import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    into = parser.add_subparsers(required=True, metavar="new|rotate")
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
    rotate = options.subcommand(
        into,
        "rotate",
        run_rotate,
        "Make new keys for a member that has some. The former ones stay beside: what was sealed to them still opens. "
        "Interrupted, it is run again and goes on.",
        "wardround keys rotate clinic-north --out keys",
    )
    rotate.add_argument("name", help="the member's name")
    rotate.add_argument(
        "--out", type=Path, default=Path("keys"), metavar="FOLDER", help="where its keys lie (default: keys)"
    )
    options.add_json(rotate)


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


def run_rotate(arguments: argparse.Namespace) -> int:
    from protocol.signing import key_id
    from registry.rotation import rotate_member_keys

    rotated, folder = rotate_member_keys(arguments.name, arguments.out), arguments.out
    card = rotated.card
    fingerprint = f"{key_id(card.sign).hex()} {key_id(card.open).hex()}"
    done = "the rotation that was begun before is finished" if rotated.resumed else "new keys are made"
    lines = [
        f"{done}; the former ones stay beside as long as the study runs:",
        *(f"  {path}" for path in rotated.retired),
        f"fingerprint: {fingerprint}",
        f"1. send {folder / card.name}.pub to the registrar, and read the fingerprint to each other on the telephone",
        "2. the registrar publishes it with the same --role, --study and --size-cap as before: "
        f"`wardround registrar member {card.name}.pub`, then `wardround registrar roster`",
        f"3. start the service of {card.name} again, now or later: it signs with the former key until then",
    ]
    values = {
        "name": card.name, "folder": str(folder), "fingerprint": fingerprint,
        "retired": [str(path) for path in rotated.retired], "resumed": rotated.resumed,
    }  # fmt: skip
    options.emit(arguments, values, lines)
    return 0
