"""Play a plan ahead on virtual time, beside alternatives: how long it takes, who is heard, what is wasted.

The coordinator's and the participants' own decisions run over a simulated log; training and links are delays. With
--learn the study's task really trains, so that plans are compared by their metric against time. The same arguments
and seed give the same result.

example:
  wardround simulate plan.toml --trace nightly --vary aggregation.goal=2,4,8
  wardround simulate plan.toml --sites 1000 --parameters 6274 --versions 100 --presets --html simulation.html
  wardround simulate studies/eicu/plan.toml --trace flapping --presets --learn --data data/eicu-demo

traces: steady; nightly (four hours each night); flapping (up ten minutes, down thirty); week-away (one site in four is
away for seven days); or a CSV with the header site,from_s,to_s, one row a window of connection.
"""

import argparse
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wardround.commands import options

if TYPE_CHECKING:
    from registry.plans.draft import Draft
    from rehearsal.comparing import Judge as JudgedBy
    from rehearsal.learning import Patients, StudyJudge
    from rehearsal.play import Connected, Judge, Played, Setting
    from rehearsal.variants import Tables, Variant
    from schemas.plan import Plan

_SPEEDS = {"train": "10m", "up": "2Mbit", "down": "10Mbit", "spread": 2.0}  # where no file says more
_BITS = {"kbit": 1e3, "Mbit": 1e6, "Gbit": 1e9}
_LEARNT = ("members", "task", "training", "encoding", "masking", "noise", "data")  # from the study that --learn names
_LEARNT_WEIGHTS = ("examples", "examples_max")  # of [aggregation], for they are about its data


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan", type=Path, metavar="PLAN", help="a plan.toml")
    what = parser.add_argument_group("alternatives")
    what.add_argument(
        "--vary", action="append", default=[], metavar="FIELD=V,V", help="values of a plan's field; repeatable"
    )
    what.add_argument("--presets", action="store_true", help="beside it fedavg, fedasync, fedbuff as they come")
    what.add_argument("--versions", type=int, metavar="N", help="so many versions instead of the plan's")
    where = parser.add_argument_group("the sites")
    where.add_argument("--sites", type=int, metavar="N", help="so many invented sites instead of the plan's")
    where.add_argument("--trace", default="steady", metavar="TRACE", help="when links are up (default: steady)")
    where.add_argument("--train", metavar="TIME", help="median time of one training (default: 10m)")
    where.add_argument("--up", metavar="RATE", help="median rate up (default: 2Mbit a second)")
    where.add_argument("--down", metavar="RATE", help="median rate down (default: 10Mbit)")
    where.add_argument(
        "--spread", type=float, metavar="X", help="two sites in three lie within this factor (default: 2)"
    )
    where.add_argument("--speeds", type=Path, metavar="CSV", help="site,train_s,up_bytes_s,down_bytes_s instead")
    learn = parser.add_argument_group("learning")
    learn.add_argument(
        "--learn", nargs="?", const="", metavar="STUDY", help="really train: the plan's task, or another study's"
    )
    learn.add_argument("--data", type=Path, metavar="FOLDER", help="the data of a study that does not bring its own")
    learn.add_argument(
        "--target", type=float, metavar="X", help="metric to reach (default: 99 %% of the pooled model's)"
    )
    learn.add_argument("--together", action="store_true", help="judge all sites' test patients as one list")
    learn.add_argument(
        "--parameters", type=int, metavar="P", help="size of the model, so that the task need not be run (no --learn)"
    )
    parser.add_argument("--seed", type=int, default=0, help="draws speeds, links and jitter (default: 0)")
    parser.add_argument("--limit", default="60d", metavar="TIME", help="longest virtual time (default: 60d)")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write figures and tables as one HTML page")
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from registry.keyfiles import check_place
    from rehearsal import variants
    from wardround.simulate import table

    _check(arguments)
    if arguments.html:
        check_place(arguments.html, folders_made=True)
    tables = _tables(arguments)
    patients = _patients(arguments, tables) if arguments.learn is not None else None
    with options.waiting("reading the plan"):
        found = variants.variants(
            tables, arguments.vary, _author(arguments), presets=arguments.presets, where=str(arguments.plan)
        )
    setting = _setting(arguments, tables, patients)
    played, target = _play(arguments, found, setting, patients)
    untrained = _untrained(patients)
    if arguments.html and played:
        from wardround.simulate.page import write_page

        assumed = table.circumstances(arguments, len(setting.speeds))
        assumed += [("Remark", said) for said in table.remarks(played, target)]
        assumed += [("Left out", said) for said in untrained]
        write_page(found, played, assumed, target, arguments.html)
    if arguments.json:
        options.emit(arguments, table.values(found, played, target, arguments.seed), [])
    else:
        table.show(found, played, target)
        print("".join(f"{said}\n" for said in untrained), end="")
        if arguments.html and played:
            print(f"{arguments.html} written")
    return 0 if played else 2


def _untrained(patients: "Patients | None") -> list[str]:
    """Which sites are left out of every figure, in one sentence; nothing where there are none."""
    from rehearsal.comparing import left_out

    if patients is None or not patients.untrained:
        return []
    return [left_out(patients.untrained, len(patients.sites) + len(patients.untrained))]


def _check(arguments: argparse.Namespace) -> None:
    from schemas.errors import LocalError
    from schemas.records import MEMBERS_MAX

    if arguments.parameters is not None and (arguments.learn is not None or arguments.parameters < 1):
        raise LocalError("--parameters is a number above 0, and only where nothing is learnt")
    if arguments.learn is not None and arguments.sites is not None:
        raise LocalError("--sites invents sites, --learn needs patients", hint="leave one of them out")
    if arguments.learn is None and (arguments.data or arguments.target is not None or arguments.together):
        raise LocalError("--data, --target and --together belong to --learn")
    if arguments.sites is not None and not 1 <= arguments.sites <= MEMBERS_MAX:
        raise LocalError(f"--sites {arguments.sites} is not within 1..{MEMBERS_MAX}")
    if arguments.target is not None and not math.isfinite(arguments.target):
        raise LocalError(f"--target {arguments.target:g} is no value of a metric")
    idle = [f"--{name}" for name in _SPEEDS if arguments.speeds and getattr(arguments, name) is not None]
    if idle:
        raise LocalError(f"{', '.join(idle)} would do nothing beside --speeds", hint="the file says it for every site")
    for name, value in _SPEEDS.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    if not 1 <= arguments.spread <= 100:
        raise LocalError(f"--spread {arguments.spread:g} is not within 1..100", hint="1: all sites alike")


def _tables(arguments: argparse.Namespace) -> "Tables":
    """The plan's text with what the arguments put in its place."""
    from rehearsal.variants import read_tables, with_sites

    tables = read_tables(arguments.plan)
    if arguments.learn:
        other = read_tables(_study(arguments.learn))
        taken = {name: other[name] for name in _LEARNT if name in other}
        tables = {**{name: tables[name] for name in tables if name not in _LEARNT}, **taken}
        tables["aggregation"] = _weighed(tables.get("aggregation", {}), other.get("aggregation", {}))
    if arguments.versions is not None:
        tables = {**tables, "stop": {**tables["stop"], "versions": arguments.versions}}
    return with_sites(tables, arguments.sites)


def _weighed(rule: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """An [aggregation] with the example weights of the study that is learnt."""
    weights = {key: other[key] for key in _LEARNT_WEIGHTS if key in other}
    return {**{key: value for key, value in rule.items() if key not in _LEARNT_WEIGHTS}, **weights}


def _study(name: str) -> Path:
    from learning.entry import task_folder

    if name.endswith(".toml"):
        return Path(name)
    return task_folder(f"studies.{name.replace('-', '_')}.task:task") / "plan.toml"


def _author(arguments: argparse.Namespace) -> "Callable[[Draft], Plan]":
    """Makes a plan of a draft: with --parameters without the task, else as `plan check` does."""
    from registry.plans.authoring import author_draft
    from registry.plans.draft import TaskFacts

    if arguments.parameters is None:
        return lambda draft: author_draft(draft).plan
    facts = TaskFacts(arguments.parameters, bytes(32), bytes(32), "metric", higher_is_better=True)
    return lambda draft: draft.plan(facts)


def _patients(arguments: argparse.Namespace, tables: "Tables") -> "Patients":
    from registry.plans.draft import draft_of
    from rehearsal.learning import Patients

    with options.waiting("loading the patients"):
        return Patients.load(draft_of(tables, where=str(arguments.plan)), arguments.data)


def _setting(arguments: argparse.Namespace, tables: "Tables", patients: "Patients | None") -> "Setting":
    from rehearsal import speeds
    from rehearsal.play import Setting
    from wardround.commands.plan import seconds

    sites: Sequence[str] = list(patients.sites) if patients else tables["members"]["sites"]
    median = speeds.Speed(
        seconds(arguments.train, "--train"), _rate(arguments.up, "--up"), _rate(arguments.down, "--down")
    )
    known = {}
    if arguments.speeds:
        known = speeds.measured(_lines(arguments.speeds), where=str(arguments.speeds))
        _all_known(sites, known, arguments.speeds)
    chosen = {
        site: known[site] if known else speeds.drawn(median, arguments.spread, arguments.seed, site) for site in sites
    }
    return Setting(
        chosen, _connected(arguments, sites), arguments.seed, round(1000 * seconds(arguments.limit, "--limit"))
    )


def _connected(arguments: argparse.Namespace, sites: Sequence[str]) -> "Connected":
    from rehearsal import traces

    if not arguments.trace.endswith(".csv"):
        traces.windows(arguments.trace, arguments.seed, sites[0], 1)  # a wrong name is told before anything is played
        return lambda site, until_ms: traces.windows(arguments.trace, arguments.seed, site, until_ms)
    found = traces.measured(_lines(Path(arguments.trace)), where=arguments.trace)
    _all_known(sites, found, Path(arguments.trace))
    return lambda site, until_ms: found[site]


def _all_known(sites: Sequence[str], known: "dict[str, Any]", path: Path) -> None:
    from schemas.errors import LocalError

    absent = [site for site in sites if site not in known]
    if absent:
        shown = ", ".join(absent[:5]) + (" …" if len(absent) > 5 else "")
        raise LocalError(f"{path}: nothing about {len(absent)} of {len(sites)} sites: {shown}")


def _lines(path: Path) -> list[str]:
    from schemas.errors import LocalError

    try:
        return path.read_text("utf-8-sig").splitlines()  # spreadsheets begin a file with a mark
    except (OSError, UnicodeDecodeError) as error:
        raise LocalError(f"{path} cannot be read: {type(error).__name__}") from None


def _rate(text: str, option: str) -> float:
    """'2Mbit' -> 250000.0 bytes a second."""
    from schemas.errors import LocalError

    match = re.fullmatch(r"(\d+(?:\.\d+)?)(kbit|Mbit|Gbit)", text)
    if match is None or float(match[1]) == 0:
        raise LocalError(f"{option} `{text}` is no rate", hint="write for example 500kbit, 2Mbit or 1Gbit (a second)")
    return float(match[1]) * _BITS[match[2]] / 8


def _play(
    arguments: argparse.Namespace, found: "Sequence[Variant]", setting: "Setting", patients: "Patients | None"
) -> "tuple[list[Played], float | None]":
    from dataclasses import replace

    from rehearsal.learning import target_of
    from rehearsal.play import play
    from wardround.simulate.progress import Progress

    played, target = [], arguments.target
    with Progress([one.label for one in found if one.plan]) as progress:
        for variant in found:
            if variant.plan is None:
                continue
            plan = variant.plan
            if patients is not None and target is None:
                pooled = patients.pooled(plan, _judged_by(arguments))
                target = target_of(pooled, higher_is_better=plan.evaluation.higher_is_better)
            judges: list[StudyJudge] = []
            judge = None if patients is None else _judges(arguments, plan, patients, judges)
            told = progress.of(variant.label, plan.stop.versions)
            one = play(
                variant.label, plan, _as_long(setting, plan, found[0].plan, patients), judge=judge, progress=told
            )
            if patients is not None:
                said = patients.advice(plan, judges[-1], _judged_by(arguments))
                one = replace(one, look_again=tuple(said), clipped=judges[-1].clipped)
            played.append(one)
    return played, target


def _as_long(setting: "Setting", plan: "Plan", asked: "Plan | None", patients: "Patients | None") -> "Setting":
    """The setting with trainings as long as `plan` makes them: speeds are those of the plan that is asked about."""
    from dataclasses import replace

    from rehearsal.work import times_as_long

    if asked is None or plan.training == asked.training:
        return setting
    known = {name: len(data.train) for name, data in patients.sites.items()} if patients else {}
    return replace(
        setting,
        speeds={
            site: replace(speed, train_s=speed.train_s * times_as_long(plan, asked, known, site))
            for site, speed in setting.speeds.items()
        },
    )


def _judges(
    arguments: argparse.Namespace, plan: "Plan", patients: "Patients", made: "list[StudyJudge]"
) -> "Callable[[], Judge]":
    """Makes a judge for each try at one history; the last of `made` has seen it to its end."""
    from rehearsal.learning import StudyJudge

    def make() -> StudyJudge:
        made.append(StudyJudge(plan, patients, _judged_by(arguments), arguments.seed))
        return made[-1]

    return make


def _judged_by(arguments: argparse.Namespace) -> "JudgedBy":
    from rehearsal.comparing import overall, together

    return together if arguments.together else overall
