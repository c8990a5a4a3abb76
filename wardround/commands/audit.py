"""Look behind what a coordinator announced, with nothing but the registrar's public key and an opening key.

example:
  wardround audit recompute lung --version 7 --key keys/coordinator.open
"""

import argparse

from wardround.commands import options, recompute

_RECOMPUTE = (
    "Compute a version again: fetch the updates it was made from, check every signature and digest, and compare. It "
    "needs the opening key of the coordinator, or of an auditor that the plan names. Exit code 0: the same bytes; 1: "
    "the coordinator announced something else, or the log breaks a rule."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    into = parser.add_subparsers(metavar="recompute", required=True)
    example = "wardround audit recompute lung --version 7 --key keys/coordinator.open"
    one = options.subcommand(into, "recompute", recompute.run, _RECOMPUTE, example)
    recompute.add_what_to_compute(one)
