"""Does a study learn at the defaults of `plan init`? Alone, federated and pooled over several splits, ten studies.

  python -m bench.defaults --data FOLDER --splits 5
  python -m bench.defaults --data FOLDER --study heart --set training.learning_rate=0.03

FOLDER holds a folder a data set: actg175, aqsoldb, eicu-demo, moleculenet, multicentre-trials, pneumoniamnist,
tcga-brca, uci-heart. `ward` is the template of studies/README.md on four made tables of 120 patients. Every study is
played with exactly what `plan init` writes for it, on splits 0, 1, 2 …; a study's own plan.toml is not looked at but
for the names of its sites. *Gain* is federated over alone, paired by split, positive where federated is better.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.defaults.made import write_ward
from learning.places import look_in
from registry.plans.draft import draft_of
from registry.plans.template import plan_of_task
from rehearsal import comparing
from rehearsal.comparing import interval, run_once, study_of
from rehearsal.variants import Tables
from schemas.errors import FederationError

STUDIES = Path(comparing.__file__).parents[1] / "studies"


@dataclass(frozen=True, slots=True)
class Tried:
    """A study by its task; `data` names its folder below --data, "" where --data itself is meant, None where none."""

    name: str
    entry: str
    data: str | None
    sites: tuple[str, ...]


def own(name: str, data: str | None) -> Tried:
    """A study of the repository."""
    tables = tomllib.loads((STUDIES / name / "plan.toml").read_text("utf-8"))
    return Tried(name, f"studies.{name}.task:task", data, tuple(tables["members"]["sites"]))


def made(name: str, *sites: str) -> Tried:
    """A study beside this file."""
    return Tried(name, f"bench.defaults.{name}:task", "", sites)


def numbered(word: str, count: int, first: int = 1) -> list[str]:
    return [f"{word}-{number}" for number in range(first, first + count)]


TRIED = (
    own("lung", None),
    own("breast", None),
    own("heart", "uci-heart"),
    own("eicu", "eicu-demo"),
    made("actg175", *numbered("site", 8)),
    made("aqsoldb", *(f"source-{letter}" for letter in "abcdefghi")),
    made("pneumonia", *numbered("clinic", 5)),
    made("rhdnase", *numbered("inst", 51)),
    made("tcga_brca", *numbered("region", 6, first=0)),
)


def with_set(tables: Tables, changes: Sequence[str]) -> Tables:
    """The plan's tables with `section.key=value` put in."""
    changed = {name: dict(section) for name, section in tables.items()}
    for text in changes:
        name, _, value = text.partition("=")
        section, _, key = name.partition(".")
        for other in {"epochs": ["steps"], "steps": ["epochs"]}.get(key, []):
            changed[section].pop(other, None)
        changed.setdefault(section, {})[key] = tomllib.loads(f"value = {value}")["value"]
    return changed


def line(one: Tried, folder: Path | None, splits: int, changes: Sequence[str]) -> str:
    """A row of the table, after playing `one` on every split."""
    text = plan_of_task(one.entry, study=one.name.replace("_", "-"), sites=one.sites)
    study = study_of(draft_of(with_set(tomllib.loads(text), changes)))
    runs = [run_once(study, study.load(folder, split=str(split)), seed=split) for split in range(splits)]
    alone, federated, pooled = (
        np.array([getattr(run, name) for run in runs]) for name in ("alone", "federated", "pooled")
    )
    gain = (federated - alone) * (1 if study.task.higher_is_better else -1)
    lengths = [length for run in runs for length in run.lengths]
    clipped = float(np.mean([length > study.plan.encoding.clip for length in lengths]))
    return (
        f"| {one.name} | {len(one.sites)} | {study.task.parameters():,} | {study.task.metric} | {alone.mean():.3f} | "
        f"{federated.mean():.3f} | {pooled.mean():.3f} | {interval(gain)} | {max(lengths):.2f} of "
        f"{study.plan.encoding.clip:g} | {clipped:.0%} |"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.defaults", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--study", action="append", default=[], help="this one alone; repeatable")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="another plan; repeatable"
    )
    given = parser.parse_args(arguments)
    print("| study | sites | parameters | metric | alone | federated | pooled | gain | longest update | clipped |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as place:
        entry, tables, sites = write_ward(Path(place))
        look_in(Path(place))
        try:
            for one in (Tried("ward", entry, None, sites), *TRIED):
                if given.study and one.name not in given.study:
                    continue
                folder = None if one.data is None else given.data / one.data
                print(line(one, tables if one.name == "ward" else folder, given.splits, given.set), flush=True)
        except FederationError as error:
            print(f"{error}\n{getattr(error, 'hint', '')}".rstrip(), file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
