"""Play a study of your own on this machine: a Kafka, a coordinator and a participant for each site, shown live.

STUDY is the folder with task.py. Its sites are those of plan.toml; where there is no plan, one is written into the
folder with the defaults of `wardround plan init`, for the tables in --data: site-1.csv, site-2.csv, …
Two sites lose their link for a while and one joins late, to be seen; --calm leaves that out. It ends with a table of
alone, federated and pooled, and a report in out/try/STUDY. Ctrl-C at any moment stops everything.

example:
  wardround try ward --data tables
  wardround try ward --data tables --versions 10 --calm
  wardround try studies/eicu --data eicu-demo --sites 20 --minutes 5
"""

import argparse
from pathlib import Path

from wardround.demo.bounds import Bounds
from wardround.demo.bounds import add_arguments as add_bounds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", type=Path, metavar="STUDY", help="the study's folder")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="the sites' tables, where the task reads any")
    add_bounds(parser)
    parser.add_argument("--calm", action="store_true", help="nobody joins late, no link is cut")
    parser.add_argument("--out", type=Path, default=Path("out/try"), metavar="FOLDER", help="default: out/try")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from wardround.demo import run_rehearsal

    return run_rehearsal(
        arguments.study,
        data=arguments.data,
        bounds=Bounds.of(arguments),
        out=arguments.out,
        eventful=not arguments.calm,
    )
