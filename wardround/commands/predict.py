"""Predict for a table of patients with an exported model: the task's own preprocessing, row for row.

The table needs the columns of the task's contract; labels are not needed, further columns are passed over. Each of its
rows is one of predictions.csv, with its line in the table, its columns of text and the predictions. A row that breaks
the contract has none, and says in `problem` which column and rule it breaks. Nothing leaves this machine.

example:
  wardround predict lung.safetensors --study studies/lung patients.csv --out predictions.csv
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from wardround.commands import options

if TYPE_CHECKING:
    from learning.formats import Format
    from learning.predicting import Model, Summary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="a file that `wardround model export` wrote")
    parser.add_argument("table", type=Path, metavar="TABLE", help="the patients, a table with a header line")
    parser.add_argument(
        "--study", type=Path, metavar="FOLDER",
        help="the folder of the study's task.py (default: the entry in MODEL, where it can be imported)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write, e.g. predictions.csv")
    parser.add_argument("--delimiter", default=",", help='between fields, one sign or "tab" (default: a comma)')
    parser.add_argument("--decimal", default=".", help="the decimal mark (default: a point)")
    parser.add_argument("--encoding", default="utf-8", help="the table's encoding (default: utf-8)")
    parser.add_argument("--missing", default="", metavar="LIST", help="more marks for no value, with commas between")
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from audit.models import open_model
    from learning.formats import Format
    from registry.keyfiles import check_place
    from schemas.errors import LocalError

    options.logs_of_a_command()
    check_place(arguments.out, folders_made=True)
    for what, read in (("model", arguments.model), ("table", arguments.table)):
        if arguments.out.exists() and read.exists() and arguments.out.samefile(read):
            raise LocalError(f"--out names the {what} itself", hint="name another file")
    model = open_model(arguments.model, study=arguments.study)
    named = {name: getattr(arguments, name) for name in ("delimiter", "decimal", "encoding", "missing")}
    how = Format.of(named, model.contract.missing)
    summary = _written(arguments, model, how)
    lines = [f"{arguments.out}: {summary.rows:,} rows, {summary.rows - summary.problems.total():,} predicted"]
    lines += [f"  {count:,} not: {said}" for said, count in sorted(summary.problems.items())]
    lines += [f"  {count:,} lines are no rows ({rule})" for rule, count in sorted(summary.broken.items())]
    lines += [f"hint: {summary.hint}"] if summary.hint else []
    values = {
        "file": str(arguments.out), "study": model.header.study, "version": model.header.version, "rows": summary.rows,
        "problems": dict(sorted(summary.problems.items())), "broken_lines": dict(sorted(summary.broken.items())),
    }  # fmt: skip
    options.emit(arguments, values, lines)
    return 0


def _written(arguments: argparse.Namespace, model: "Model", how: "Format") -> "Summary":
    """Write the file whole or not at all."""
    from learning.predicting import Summary, write_predictions
    from schemas.errors import LocalError

    part = arguments.out.with_name(arguments.out.name + ".part")
    summary = Summary()
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with options.counting("rows") as tell, part.open("w", encoding="utf-8", newline="") as file:
            for summary in write_predictions(file, model.predict_file(arguments.table, how)):
                tell(summary.rows)
        part.replace(arguments.out)
    except OSError as error:
        raise LocalError(f"{arguments.out} cannot be written: {error.strerror}", hint="check free space") from None
    finally:
        part.unlink(missing_ok=True)
    return summary
