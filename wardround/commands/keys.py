"""Make a member's keys on the member's own machine, and new ones in their place.

Writes NAME.sign, NAME.open and NAME.tls (private: they stay here, mode 0600) and NAME.pub, the request to the
registrar: it may be mailed, and the fingerprint is read out on the telephone. A hospital begins with `site init`.

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
    new.add_argument("names", metavar="NAME", nargs="+", help="a member's name: lower-case letters, digits, hyphens")
    new.add_argument("--institution", default="", help="its name in full, for people")
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
    from registry.keyfiles import make_member_keys

    folder, values, lines = arguments.out, [], list[str]()
    for name in arguments.names:
        card = make_member_keys(name, folder, institution=arguments.institution)
        lines += [
            f"{folder / name}.sign  private, signs what {name} sends",
            f"{folder / name}.open  private, opens what is sealed to {name}",
            f"{folder / name}.tls   private, how {name} reaches the brokers; its certificate comes from the registrar",
            f"{folder / name}.pub   the request, for the registrar",
            f"fingerprint: {card.fingerprint}",
        ]
        values.append({"name": name, "folder": str(folder), "fingerprint": card.fingerprint})
    options.emit(arguments, values[0] if len(values) == 1 else {"members": values}, lines)
    return 0


def run_rotate(arguments: argparse.Namespace) -> int:
    from registry.rotation import rotate_member_keys

    rotated, folder = rotate_member_keys(arguments.name, arguments.out), arguments.out
    card = rotated.card
    fingerprint = card.fingerprint
    done = "the rotation that was begun before is finished" if rotated.resumed else "new keys are made"
    lines = [
        f"{done}; the former ones stay beside as long as the study runs:",
        *(f"  {path}" for path in rotated.retired),
        f"fingerprint: {fingerprint}",
        f"1. send {folder / card.name}.pub to the registrar, and read the fingerprint to each other on the telephone",
        f"2. the registrar approves it: `wardround registrar approve {card.name}.pub`",
        f"3. start the service of {card.name} again, now or later: it signs with the former key until then",
    ]
    values = {
        "name": card.name, "folder": str(folder), "fingerprint": fingerprint,
        "retired": [str(path) for path in rotated.retired], "resumed": rotated.resumed,
    }  # fmt: skip
    options.emit(arguments, values, lines)
    return 0
