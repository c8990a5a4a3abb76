"""The words of before for `wardround audit recompute`: they work until the next release.

Audit a version: fetch the updates it was made from, check every signature and digest, and compute it again.

Needs the opening key of the coordinator, or of an auditor that the plan names, and trusts nothing but the registrar's
public key. Exit code 0: the same bytes; 1: the coordinator announced something else, or the log breaks a rule.

example:
  wardround audit recompute lung --version 7 --key keys/coordinator.open
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from wardround.commands import options

if TYPE_CHECKING:
    from audit.recompute import Audit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_what_to_compute(parser)
    parser.set_defaults(run=_run_as_before)


def add_what_to_compute(parser: argparse.ArgumentParser) -> None:
    """Study, version and keys."""
    parser.add_argument("study", help="the study's id")
    parser.add_argument("--version", type=int, required=True, metavar="N", help="the version to compute again, from 1")
    parser.add_argument(
        "--key", type=Path, required=True, metavar="FILE",
        help="an opening key, e.g. coordinator.open; retired ones are taken from beside it",
    )  # fmt: skip
    options.add_registrar_public(parser)
    options.add_broker(parser)
    options.add_json(parser)


def _run_as_before(arguments: argparse.Namespace) -> int:
    options.note_old_words("wardround recompute", "wardround audit recompute")
    return run(arguments)


def run(arguments: argparse.Namespace) -> int:
    with options.waiting(f"recomputing version {arguments.version} of {arguments.study}"):
        audit = options.run(arguments, _check(arguments))
    announced, same = audit.announced, not audit.differences
    sites = [entry.site for entry in audit.request.entries]
    values = {
        "study": arguments.study,
        "version": announced.version,
        "same": same,
        "differences": list(audit.differences),
        "model": audit.computed.model_digest.hex(),
        "sites": {entry.site: entry.weight for entry in audit.request.entries},
    }
    lines = [f"version {announced.version} of {arguments.study}: {len(sites)} updates, of {', '.join(sites)}"]
    if same:
        lines.append(f"the same bytes: model {audit.computed.model_digest.hex()}")
    else:
        lines.append(f"NOT THE SAME: {', '.join(audit.differences)} of the announcement are other than computed")
    options.emit(arguments, values, lines)
    return 0 if same else 1


async def _check(arguments: argparse.Namespace) -> "Audit":
    from audit.recompute import Auditor
    from protocol.key_files import read_registrar_key
    from protocol.rings import OpenRing
    from protocol.roster_memory import RosterMemory
    from transport.admin import COMMAND_S, Admin, within
    from transport.staying.link import Link

    opening = OpenRing.load(arguments.key)
    registrar = read_registrar_key(arguments.registrar)
    settings = options.kafka_settings(arguments, arguments.key)
    link = Link(settings)
    admin = Admin(settings, link)
    try:
        await within(admin.existing([]), COMMAND_S, link)
    finally:
        await admin.close()
    auditor = Auditor(settings, registrar, opening, RosterMemory.beside(arguments.key, registrar))
    try:
        return await auditor.check(arguments.study, arguments.version)
    finally:
        await auditor.close()
