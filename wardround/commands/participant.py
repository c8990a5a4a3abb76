"""Run a hospital's participant: it fetches new versions, trains on the data here, and sends updates.

Finished work stays on disk until the coordinator's receipt for it has come; the network may come and go, and the
process may be killed and started again with the same line. It stops within 10 seconds of SIGTERM or Ctrl-C.

The other commands talk to a participant by files in its data folder. Run them on its machine, as its user; what they
ask for survives restarts, and waits for a service that is not running.

example:
  wardround participant run --config participant.toml
  wardround participant pause lung --config participant.toml
  wardround participant ledger --config participant.toml
"""

import argparse
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.units import human_bytes
from schemas.errors import LocalError
from wardround.commands import options

if TYPE_CHECKING:
    from participant.orders import Answer
    from participant.settings import Settings
    from participant.shell.control import StudyState
    from participant.shell.ledger import Update

_CONFIG = "settings, see the annotated sample"
_RUN = "Run the service, until SIGTERM or Ctrl-C, or until it has left."
_PAUSE = (
    "Pause one study, or all. Training and transfers stop now; what is finished stays in the outbox and goes out after "
    "`resume`. The federation sees the study as paused."
)
_RESUME = (
    "Go on after `pause` or `leave`, with one study or all. What is held for its data or its task is tried at once."
)
_LEAVE = (
    "Take the site out of the federation. Nothing new is begun; finished work is sent and waits for its receipt; then "
    "the service ends, and its data folder stays for the audit. `resume` takes it back."
)
_FORGET = (
    "Forget what the log of one study said, when the federation has begun it anew under the same plan. Only when the "
    "federation's operator has said so, and with the service stopped. Ledger, decisions and sequence numbers stay; "
    "updates that are not decided are given up, and versions are trained from again."
)
_LEDGER = "Show what left this site, and what became of every update; times are UTC."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help=_CONFIG)
    parser.set_defaults(run=_run_as_before)
    into = parser.add_subparsers(metavar="run|pause|resume|leave|ledger|forget")
    for name, do, text in (
        ("run", run, _RUN),
        ("pause", _pause, _PAUSE),
        ("resume", _resume, _RESUME),
        ("leave", _leave, _LEAVE),
        ("ledger", _ledger, _LEDGER),
        ("forget", _forget, _FORGET),
    ):
        study = "lung " if name == "forget" else ""
        one = options.subcommand(into, name, do, text, f"wardround participant {name} {study}--config participant.toml")
        if name == "forget":
            one.add_argument("study", help="the study's id")
        elif name not in ("run", "leave"):
            one.add_argument("study", nargs="?", help="one study (default: all of them)")
        one.add_argument("--config", type=Path, metavar="FILE", default=argparse.SUPPRESS, help=_CONFIG)
        if name != "run":
            options.add_json(one)


def _run_as_before(arguments: argparse.Namespace) -> int:
    if arguments.config is not None:
        options.note_old_words("wardround participant --config", "wardround participant run --config")
    return run(arguments)


def run(arguments: argparse.Namespace) -> int:
    from participant.app import serve
    from runtime.logs import configure
    from runtime.service import run_service

    settings = _settings(arguments)
    configure(settings.log.level)
    loop = options.loop_of(settings.kafka)
    return run_service(serve(settings), loop)


def _settings(arguments: argparse.Namespace) -> "Settings":
    from participant.settings import Settings
    from runtime.settings import load_settings

    if arguments.config is None:
        raise LocalError("no participant is named", hint="name its settings: --config participant.toml")
    return load_settings(Settings, arguments.config, os.environ)


def _pause(arguments: argparse.Namespace) -> int:
    from participant.orders import order, pause

    answer = order(_settings(arguments).data_dir, pause, arguments.study)
    name = arguments.study or "every study"
    return _tell(arguments, answer, f"{name} is paused: nothing is trained or sent", f"{name} will be paused")


def _resume(arguments: argparse.Namespace) -> int:
    from participant.orders import order, resume

    answer = order(_settings(arguments).data_dir, resume, arguments.study)
    name = arguments.study or "every study"
    return _tell(arguments, answer, f"{name} goes on", f"{name} will go on")


def _leave(arguments: argparse.Namespace) -> int:
    from participant.orders import leave, order

    answer = order(_settings(arguments).data_dir, leave)
    done = "the site leaves: nothing new is begun, and the service ends once its updates are decided"
    return _tell(arguments, answer, done, "the site will leave")


def _forget(arguments: argparse.Namespace) -> int:
    from participant.orders import forget

    settings, study = _settings(arguments), arguments.study
    given_up = forget(settings.data_dir, settings.name, study)
    lines = [f"{study}: what its log said is forgotten; ledger and sequence numbers stay"]
    lines += [f"given up, not decided: update {study}/{settings.name}/{sequence}" for sequence in given_up]
    lines += ["start the participant: it follows the study from its first record"]
    options.emit(arguments, {"study": study, "given_up": list(given_up)}, lines)
    return 0


def _tell(arguments: argparse.Namespace, answer: "Answer", done: str, later: str) -> int:
    """Say what came of an order; 1 when a running service did not take it in time."""
    studies = answer.state.studies if answer.state is not None else ()
    values = {
        "serial": answer.wish.serial,
        "running": answer.running,
        "taken": answer.taken,
        "studies": [asdict(study) for study in studies],
    }
    lines = [done]
    if not answer.taken:
        lines = [f"{later} as soon as the service takes it: it did not answer within 10 s"]
        if not answer.running:
            lines = [f"{later} when the service starts: none is running"]
    waiting = sum(study.undecided for study in studies)
    if studies and not answer.taken:
        lines += ["how it stood when the service told last:"]
    lines += [_standing(study) for study in studies]
    lines += [f"finished updates that are not decided: {waiting}"] if waiting else []
    options.emit(arguments, values, lines)
    return 0 if answer.taken or not answer.running else 1


def _standing(study: "StudyState") -> str:
    return f"  {study.study}: {study.state}{f' ({study.held})' if study.held else ''}"


def _ledger(arguments: argparse.Namespace) -> int:
    from participant.shell.ledger import read_ledger

    view = read_ledger(_settings(arguments).data_dir, arguments.study)
    values = {"updates": [asdict(one) for one in view.updates], "others": [asdict(one) for one in view.others]}
    rows = [("finished", "study", "sequence", "from version", "size", "what became of it")]
    rows += [
        (
            _when(one.at_ms),
            one.study,
            str(one.sequence),
            str(one.base_version),
            human_bytes(one.bytes),
            _became(one),
        )
        for one in view.updates
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    others = [
        f"{one.what}{f' of {one.study}' if one.study else ''}: {one.messages} messages, "
        f"{human_bytes(one.bytes)}, last {_when(one.last_ms)}"
        for one in view.others
    ]
    options.emit(arguments, values, [*(table if view.updates else ["no update has been finished here"]), *others])
    return 0


def _became(update: "Update") -> str:
    code = f" ({update.code})" if update.code else ""
    if update.outcome == "counted":
        return f"counted in version {update.version}, weight {update.weight}/16"
    if update.outcome == "waiting":
        return "offered, waits for its receipt" if update.offered else "in the outbox, not sent yet"
    if update.outcome in ("stale", "ended") and not update.offered:
        why = "too old" if update.outcome == "stale" else "the study ended"
        return f"given up, never offered: {why}"
    said = {
        "overtaken": "decided with a later one",
        "lost": "its body was gone from the outbox",
        "forgotten": "given up: the study was begun anew",
    }
    return said.get(update.outcome, update.outcome) + code


def _when(at_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at_ms / 1000))
