"""The enrolment board: who has asked, who is in, who was heard of, and how long certificates last."""

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import LocalError
from schemas.text import plain
from wardround.commands import options

if TYPE_CHECKING:
    from registry.joining.board import Row

_BOARD = (
    "Show how far each institution has come: asked (a request lies in --requests), approved, connected (it was heard "
    "of), learning (an update of it was counted), or revoked; with its certificate's days left and its software."
)


def add_arguments(into: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    board = options.subcommand(into, "board", run_board, _BOARD, "wardround registrar board --requests inbox")
    board.add_argument("--requests", type=Path, metavar="FOLDER", help="where requests lie that came by mail")
    options.add_registrar_public(board)
    options.add_broker(board)
    options.add_json(board)


def run_board(arguments: argparse.Namespace) -> int:
    from protocol.key_files import read_registrar_key
    from registry.joining.board import board
    from registry.pki.authority import utc_now

    if arguments.requests is not None and not arguments.requests.is_dir():
        raise LocalError(f"{arguments.requests} is no folder", hint="name the folder in which requests lie")
    settings = options.kafka_settings(arguments, arguments.registrar)
    public, now = read_registrar_key(arguments.registrar), utc_now()
    with options.waiting(f"talking to {arguments.broker}"):
        rows = options.run(arguments, board(settings, public, now, arguments.requests))
    head = ("name", "institution", "as", "stage", "certificate", "heard", "software", "counted")
    cells = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    options.emit(arguments, {"members": [asdict(row) for row in rows]}, lines if rows else ["there is no member yet"])
    return 0


def _cells(row: "Row") -> tuple[str, ...]:
    days = "–" if row.days_left is None else f"{row.days_left:.0f} days" if row.days_left >= 1 else "RUNS OUT"
    if row.stage == "asked":
        days = row.fingerprint
    heard = "never" if row.seen_ms is None else time.strftime("%Y-%m-%d %H:%M", time.gmtime(row.seen_ms / 1000))
    roles = ", ".join(row.roles) or "–"
    return row.name, plain(row.institution), roles, row.stage, days, heard, plain(row.software), str(row.counted)
