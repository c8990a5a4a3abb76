"""Run a hospital's participant: it fetches new versions, trains on the data here, and sends updates.

Finished work stays on disk until the coordinator's receipt for it has come; the network may come and go, and the
process may be killed and started again with the same line. It stops within 10 seconds of SIGTERM or Ctrl-C.

example:
  wardround participant --config participant.toml
"""

import argparse
import os
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings, see the annotated sample")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from participant.app import serve
    from participant.settings import Settings
    from runtime.logs import configure
    from runtime.service import run_service
    from runtime.settings import load_settings

    settings = load_settings(Settings, arguments.config, os.environ)
    configure(settings.log.level)
    return run_service(serve(settings))
