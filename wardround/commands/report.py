"""Write a study's report: one HTML file without anything loaded from elsewhere, to be mailed, printed or filed.

It shows what was learnt per site, who was there and when, what weighed how much, what left each hospital, and the plan.
Made from the log alone, with the registrar's public key. What single sites measured is sealed to the coordinator and to
the auditors that the plan names: with the opening key of one of them the report compares sites, without it does not.

example:
  wardround report lung --out lung.html
  wardround report lung --key keys/coordinator.open
"""

import argparse
from pathlib import Path

from wardround.commands import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", help="the study's id")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write (default: STUDY.html)")
    options.add_registrar_public(parser)
    options.add_reader_key(parser)
    options.add_broker(parser)
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from audit.federation import AsyncFederation
    from registry.keyfiles import check_place
    from wardround.report import write_report

    options.logs_of_a_command()
    path = arguments.out or Path(f"{arguments.study}.html")
    check_place(path, folders_made=True)
    with options.reading(arguments.broker) as progress:
        federation = AsyncFederation(
            **options.reached(arguments, arguments.key),
            registrar_key=arguments.registrar,
            opening_key=arguments.key,
            progress=progress,
        )
        history = options.run(arguments, federation.history(arguments.study))
        write_report(history, path)
    values = {"study": history.study, "version": history.version, "file": str(path), "sealed": history.sealed}
    lines = [f"{path}: study {history.study} up to version {history.version}"]
    options.emit(arguments, values, lines + [options.SEALED] * history.sealed)
    return 0
