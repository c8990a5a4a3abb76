"""Watch hospitals learn together: a Kafka, a coordinator and the participants of one study on this machine.

Shows the study live, takes two sites off the network for a while, and ends with a table and a report in
out/demo/STUDY. Ctrl-C at any moment stops everything.

A study of your own is played by `wardround try`.

example:
  wardround demo
  wardround demo --study breast
  wardround demo --study heart --data data/uci-heart
"""

import argparse
from pathlib import Path

STUDIES = ("lung", "breast", "linear-regression", "heart")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study", choices=STUDIES, default="lung", help="which study (default: lung)")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="the data of a study that does not bring its own")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), metavar="FOLDER", help="default: out/demo")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from wardround.demo import run_demo

    return run_demo(arguments.study, data=arguments.data, out=arguments.out)
