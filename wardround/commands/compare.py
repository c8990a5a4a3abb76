"""What to expect of a study: the primary metric of a hospital alone, federated, and with all patients pooled.

Every run plays the plan on the simulator, with the coordinator's and the hospitals' own decisions and arithmetic; no
Kafka is needed. With --splits each run divides the patients anew; else each begins from other start values.

example:
  wardround compare studies/lung --splits 20
  wardround compare studies/heart --seeds 5 --first 42 --data FOLDER
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import LocalError
from wardround.commands import options

if TYPE_CHECKING:
    from rehearsal.comparing import Judge, Outcome, Study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", type=Path, metavar="STUDY", help="the study's folder, or the path of a plan.toml")
    parser.add_argument("--splits", type=int, default=0, metavar="N", help="so many runs, each on a split of its own")
    parser.add_argument(
        "--seeds", type=int, default=5, metavar="N", help="so many runs on the plan's split, without --splits (5)"
    )
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first split or seed (0)")
    parser.add_argument("--versions", type=int, metavar="N", help="so many versions instead of the plan's")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="the data, for studies that do not bring them")
    parser.add_argument("--option", action="append", default=[], metavar="KEY=TEXT", help="a task option; repeatable")
    parser.add_argument("--together", action="store_true", help="judge all sites' test patients as one list")
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from rehearsal.comparing import left_out, read_study, run_once, summary, without_training

    _refuse_odd_numbers(arguments)
    given = dict(_key_and_text(pair) for pair in arguments.option)
    study = read_study(_plan(arguments.study), arguments.versions)
    numbers = range(arguments.first, arguments.first + (arguments.splits or arguments.seeds))
    outcomes: list[Outcome] = []
    for number in numbers:
        split = {"split": str(number)} if arguments.splits else {}
        with options.waiting(f"run {number - arguments.first + 1} of {len(numbers)}"):
            sites = study.load(arguments.data, **given, **split)
            outcomes.append(run_once(study, sites, seed=number, judge=_judge(arguments)))
        if not arguments.json:
            print(f"{number}: {outcomes[-1]}", flush=True)
            if untrained := without_training(sites):
                print(f"   {left_out(untrained, len(sites))}", flush=True)
    task, clip = study.task, study.plan.encoding.clip
    lines = summary(study.plan.study, outcomes, higher_is_better=task.higher_is_better, metric=task.metric, clip=clip)
    options.emit(arguments, _values(study, numbers, outcomes), lines.splitlines())
    return 0


def _refuse_odd_numbers(arguments: argparse.Namespace) -> None:
    least = {"splits": 0, "seeds": 1, "first": 0, "versions": 1}
    for name, bound in least.items():
        if (value := getattr(arguments, name)) is not None and value < bound:
            raise LocalError(f"--{name} {value} is too small", hint=f"write {bound} or more")


def _key_and_text(pair: str) -> tuple[str, str]:
    key, equals, text = pair.partition("=")
    if not (key and equals):
        raise LocalError(f"--option {pair} is no KEY=TEXT", hint="for example --option split=3")
    return key, text


def _plan(study: Path) -> Path:
    return study if study.suffix == ".toml" else study / "plan.toml"


def _judge(arguments: argparse.Namespace) -> "Judge":
    from rehearsal.comparing import overall, together

    return together if arguments.together else overall


def _values(study: "Study", numbers: range, outcomes: "list[Outcome]") -> dict[str, Any]:
    from rehearsal.comparing import differences

    runs = [
        {"run": number, "alone": one.alone, "federated": one.federated, "pooled": one.pooled, "longest": one.longest}
        for number, one in zip(numbers, outcomes, strict=True)
    ]
    task = study.task
    return {
        "study": study.plan.study,
        "metric": task.metric,
        "higher_is_better": task.higher_is_better,
        "runs": runs,
        "differences": differences(outcomes),
    }
