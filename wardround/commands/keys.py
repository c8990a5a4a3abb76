"""Make a member's keys on the member's own machine.

Writes NAME.sign, NAME.open and NAME.tls (private: they stay here, mode 0600) and NAME.pub, the request to the
registrar: it may be mailed, and the fingerprint is read out on the telephone. A hospital begins with `site init`.

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
    new.add_argument("names", metavar="NAME", nargs="+", help="a member's name: lower-case letters, digits, hyphens")
    new.add_argument("--institution", default="", help="its name in full, for people")
    new.add_argument("--out", type=Path, default=Path("keys"), metavar="FOLDER", help="where to write (default: keys)")
    options.add_json(new)


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
