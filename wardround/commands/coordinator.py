"""Run the coordinator: it gathers the sites' updates and announces new versions of every published study.

It keeps nothing that the log does not hold: kill it whenever you like, and start it again with the same line.
It stops within 10 seconds of SIGTERM or Ctrl-C.

example:
  wardround coordinator --config coordinator.toml
"""

import argparse
import os
from pathlib import Path

from wardround.commands import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings, see the annotated sample")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from coordinator.app import serve
    from coordinator.settings import Settings
    from runtime.logs import configure
    from runtime.service import run_service
    from runtime.settings import load_settings

    settings = load_settings(Settings, arguments.config, os.environ)
    configure(settings.log.level)
    loop = options.loop_of(settings.kafka)
    return run_service(serve(settings), loop)
