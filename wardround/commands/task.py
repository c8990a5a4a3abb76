"""Try a study's task before hospitals are asked.

What a hospital would do with the task is done here: import, version 0, loading and splitting, a training round twice,
predicting, judging, and sites that come up sooner or later (patients of one label alone, a single one). Patients are
invented from the task's data contract, or your own with --data. What fails is told with your file and line.

example:
  wardround task test studies/ward
  wardround task test studies/ward --data tables --site site-1 --site site-2
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from wardround.commands import options

if TYPE_CHECKING:
    from rehearsal.trial import Setting

FAULTY = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    into = parser.add_subparsers(required=True, metavar="test")
    test = options.subcommand(
        into,
        "test",
        run_test,
        "Do with a task what a hospital will do. Exit code 0: no fault found, 1: faults, 2: no such study.",
        "wardround task test studies/ward --data tables",
    )
    test.add_argument("study", metavar="STUDY", help="the study's folder, its plan.toml, or package.module:attribute")
    test.add_argument("--data", type=Path, metavar="DIR", help="your own patients (default: invented ones)")
    test.add_argument(
        "--site", action="append", default=[], help="a site to load; repeatable (default: the plan's, else the tables')"
    )
    test.add_argument(
        "--option", action="append", default=[], metavar="NAME=TEXT", help="an option for the task, as at a site"
    )
    options.add_json(test)


def run_test(arguments: argparse.Namespace) -> int:
    from rehearsal.findings import count, finding_lines
    from rehearsal.trial import Trial
    from schemas.errors import LocalError

    if arguments.data is not None and not arguments.data.is_dir():
        raise LocalError(f"{arguments.data} is no folder", hint="--data names the folder with a table for each site")
    with tempfile.TemporaryDirectory(prefix="wardround-") as scratch:
        trial = Trial(setting_of(arguments, Path(scratch)))
        with options.waiting(f"trying {arguments.study}"):
            findings = trial.run()
    faults, warnings = count(findings, "fault"), count(findings, "warning")
    patients = "invented patients" if arguments.data is None else f"the patients in {arguments.data}"
    values = {
        "faults": faults,
        "warnings": warnings,
        "round_s": round(trial.round_s, 3),
        "memory_mb": round(trial.memory_mb),
        "findings": [{"level": one.level, "what": one.what, "said": one.said, "todo": one.todo} for one in findings],
    }
    summary = (
        f"{_many(faults, 'fault')}, {_many(warnings, 'warning')} on {patients}; {trial.round_s:.2g} s a round, "
        f"{trial.memory_mb:.0f} MB at the most"
    )
    options.emit(arguments, values, [*finding_lines(findings), "", summary])
    return FAULTY if faults else 0


def setting_of(arguments: argparse.Namespace, scratch: Path) -> "Setting":
    """What to try. Raises LocalError when there is no such study."""
    from learning.places import entry_of, look_in, place_of
    from rehearsal.trial import SITES_INVENTED, Setting, setting_of_plan
    from schemas.errors import LocalError
    from wardround.demo.rehearsal import table_names

    study, chosen = Path(arguments.study), options_of(arguments.option)
    plan = study if study.suffix == ".toml" else study / "plan.toml"
    if plan.is_file():
        setting = setting_of_plan(plan, scratch, data=arguments.data, sites=arguments.site)
        return replace(setting, options={**setting.options, **chosen})
    if study.is_dir():
        entry = entry_of(study)
        look_in(place_of(study, entry))
    elif ":" in arguments.study:
        entry = arguments.study
    else:
        hint = "name the study's folder, its plan.toml, or package.module:attribute"
        raise LocalError(f"{arguments.study} is no study", hint=hint)
    found = table_names(arguments.data) if arguments.data is not None else []
    return Setting(entry, arguments.site or found or SITES_INVENTED, scratch, arguments.data, chosen)


def options_of(words: list[str]) -> dict[str, str]:
    """`["delimiter=;"]` -> {"delimiter": ";"}. Raises LocalError for a word without =."""
    from schemas.errors import LocalError

    for word in words:
        if "=" not in word.lstrip("="):
            raise LocalError(
                f"--option `{word}` is no option", hint='write it as NAME=TEXT, for example --option "delimiter=;"'
            )
    return {name: text for name, _, text in (word.partition("=") for word in words)}


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
