"""Command a study: pause, resume, exclude or include a site, close the round, stop.

Commands are signed with the operator's key and stand on the log; whoever leads the study obeys them, a successor too.
They hold as long as that key is not revoked. `wardround status` shows what holds.

example:
  wardround operator pause lung --key keys/operator.sign --reason "broker is moved on Sunday"
  wardround operator exclude lung clinic-north --key keys/operator.sign --reason "scanner replaced, data under review"
"""

import argparse
from pathlib import Path

from wardround.commands import options

ACTIONS = {  # what it does; what is said when it is done; what is said when it stood like that
    "pause": ("Make no new version until the study is resumed. Updates are kept, none is lost.", "is paused"),
    "resume": ("End a pause. What was offered meanwhile counts by its staleness.", "goes on"),
    "exclude": ("Refuse a site's updates (code `excluded`) and leave out what it measured.", "goes on without {site}"),
    "include": ("End a site's exclusion.", "takes updates of {site}"),
    "close": (
        "Close the running round as soon as the plan's minimum is there, as at its deadline.",
        "closes the round after version {version} as soon as the minimum is there",
    ),
    "stop": ("End the study for good: its newest version is the last one.", "ends with its newest version"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    into = parser.add_subparsers(required=True, metavar="|".join(ACTIONS))
    for name, (text, _) in ACTIONS.items():
        site = " clinic-north" if name in ("exclude", "include") else ""
        example = f'wardround operator {name} lung{site} --key keys/operator.sign --reason "why"'
        one = options.subcommand(into, name, run, text, example)
        one.add_argument("study", help="the study's id")
        if site:
            one.add_argument("site", help="the site's member name")
        one.add_argument("--reason", required=True, help="why, at most 200 bytes; everybody in the study can read it")
        one.add_argument(
            "--key", type=Path, metavar="FILE", default=Path("keys/operator.sign"),
            help="the operator's private key (default: keys/operator.sign)",
        )  # fmt: skip
        options.add_registrar_public(one)
        options.add_broker(one)
        options.add_json(one)
        one.set_defaults(action=name, site=None)


def run(arguments: argparse.Namespace) -> int:
    from protocol.key_files import read_registrar_key
    from protocol.rings import SignRing
    from protocol.roster_memory import RosterMemory
    from registry.commands import command
    from schemas.records import Action

    keys, registrar = SignRing.load(arguments.key), read_registrar_key(arguments.registrar)
    settings = options.kafka_settings(arguments, arguments.key)
    action = Action[arguments.action.upper()]
    with options.waiting(f"talking to {arguments.broker}"):
        given = options.run(arguments,
            command(
                settings, registrar, keys, arguments.study, action, site=arguments.site, reason=arguments.reason,
                memory=RosterMemory.beside(arguments.key, registrar),
            )
        )  # fmt: skip
    said = ACTIONS[arguments.action][1].format(site=arguments.site, version=given.version)
    line = f"study {arguments.study} {said}" if given.new else f"study {arguments.study} {said} already"
    values = {
        "study": arguments.study, "action": arguments.action, "site": arguments.site, "operator": given.operator,
        "serial": given.serial, "new": given.new,
    }  # fmt: skip
    options.emit(arguments, values, [line])
    return 0
