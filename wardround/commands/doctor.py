"""Try everything that a member needs, one thing after another, and say of each how it is and what to do.

Nothing is changed by it, and no record is written; the service may run meanwhile. Run it on the service's machine, as
its user.

example:
  wardround doctor --config participant.toml
  wardround doctor --config participant.toml --bundle bundle.tar.gz
  wardround doctor --config coordinator.toml --coordinator
  wardround doctor --federation --key keys/registrar.sign --broker kafka-1.example.org:9093

exit codes: 0 all is well, 1 there are warnings, 2 something is wrong
"""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import LocalError
from schemas.text import visible
from wardround.commands import options

if TYPE_CHECKING:
    from wardround.doctor.case import Case
    from wardround.doctor.finding import Finding
    from wardround.doctor.run import AnyCheck


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings of the participant or the coordinator")
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--coordinator", action="store_true", help="the settings are a coordinator's")
    whose.add_argument(
        "--federation", action="store_true", help="as the registrar: brokers, topics and access rules of everybody"
    )
    options.add_registrar_key(parser)
    options.add_broker(parser)
    parser.add_argument(
        "--bundle",
        type=Path,
        metavar="FILE",
        help="also write a tar.gz for whoever helps: findings, versions, settings, state; without keys, passwords, "
        "paths of data and what a task printed",
    )
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from wardround.doctor.finding import exit_code
    from wardround.doctor.run import diagnose
    from wardround.doctor.shown import lines, summary, values

    options.logs_of_a_command()
    case = _case(arguments)

    def hear(finding: "Finding") -> None:
        if not arguments.json:
            print(visible("\n".join(lines(finding))), flush=True)

    with _telling() as tell:
        findings = diagnose(case, tell, hear)
    if arguments.bundle is not None:
        from wardround.doctor.bundle import write_bundle

        write_bundle(arguments.bundle, case, findings)
    if arguments.json:
        print(json.dumps(values(findings), indent=2, sort_keys=True))
    else:
        print(summary(findings))
        if arguments.bundle is not None:
            print(f"bundle: {arguments.bundle}; look into it before it goes out")
    return exit_code(findings)


def _case(arguments: argparse.Namespace) -> "Case":
    from wardround.doctor.case import Case, Who

    if arguments.federation:
        from transport.dialing import choice_of

        choice = choice_of(arguments.proxy, arguments.proxy_user, arguments.proxy_password_file)
        kafka = options.kafka_settings(arguments, arguments.key)
        given = options.passphrase(arguments)
        return Case(Who.FEDERATION, kafka=kafka, choice=choice, registrar_sign=arguments.key, passphrase=given)
    if arguments.config is None:
        raise LocalError(
            "nobody is named to be looked at",
            hint="--config participant.toml, --config coordinator.toml --coordinator, or --federation",
        )
    return Case(Who.COORDINATOR if arguments.coordinator else Who.SITE, arguments.config)


@contextmanager
def _telling() -> "Iterator[Callable[[AnyCheck], None]]":
    """What is being tried, on a terminal, while a person waits."""
    import sys

    if not sys.stderr.isatty():
        yield lambda check: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield lambda check: status.update(check.tried)
