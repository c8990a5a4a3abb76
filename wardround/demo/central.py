"""What only a rehearsal can do: make the plan where the data are, and train on everybody's records at once.

`python -m wardround.demo.central --plan plan.toml --key registrar.sign --out FOLDER [--data FOLDER] [--look-in FOLDER]`
(and the options of wardround.demo.bounds) signs each plan into FOLDER, then writes `<study>.pooled.json`:
{site: [value, low, high]} of one model trained on all records.

Knows:    the plan's author and central learning need torch: one process imports it once for both.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from learning.entry import load_task
from learning.places import look_in
from learning.quarantine import Quarantine
from learning.settings import settings_of
from learning.task import DataSource
from protocol.files import write_whole
from protocol.signing import SigningKey
from registry.plans.authoring import AuthoredPlan, author_draft, read_plan_draft, write_signed
from rehearsal.findings import finding_lines
from rehearsal.trial import Trial, setting_of_plan
from runtime.service import report
from schemas.errors import FederationError, LocalError
from wardround.demo.bounds import Bounds, add_arguments

NICE = 15
RESAMPLES = 1000


def scores(authored: AuthoredPlan, data: Path | None) -> dict[str, list[float | None]]:
    """[value, low, high] at each site of one model trained on all sites' training patients until it stops improving."""
    plan = authored.plan
    task = load_task(plan.task.entry)
    options = dict(plan.task.options)
    sites = [
        task.load(DataSource(name, data, options, Quarantine(plan.data.bad_records_max))) for name in authored.sites
    ]
    everybody = task.pool(sites)
    vector = task.alone(everybody, settings_of(plan), seed=plan.seed, progress=lambda _: None)
    found: dict[str, list[float | None]] = {}
    for site in sites:
        seen = task.as_pooled(site, everybody)
        value = task.evaluate(vector, seen).get(task.metric)
        if value is not None:
            resamples = min(RESAMPLES, plan.evaluation.bootstrap)
            bounds = task.interval(vector, seen, resamples=resamples) if resamples else None
            found[site.site] = [value, *(bounds or (None, None))]
    return found


def _test(plan: Path, scratch: Path) -> None:
    """Raise LocalError with every fault that `wardround task test` finds in the plan's task."""
    scratch.mkdir(parents=True, exist_ok=True)
    findings = Trial(setting_of_plan(plan, scratch)).run()
    faults = [one for one in findings if one.level == "fault"]
    if faults:
        said = "\n".join(finding_lines(faults))
        raise LocalError(f"the task failed its test:\n{said}", hint=f"mend it; see `wardround task test {plan.parent}`")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--plan", type=Path, action="append", required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--look-in", type=Path)
    parser.add_argument("--test", action="store_true", help="try the task on invented patients first")
    add_arguments(parser)
    arguments = parser.parse_args()
    if arguments.look_in:
        look_in(arguments.look_in)
    try:
        key, bounds = SigningKey.load(arguments.key), Bounds.of(arguments)
        if arguments.test:
            _test(arguments.plan[0], arguments.out)
        authored = [author_draft(bounds.applied(read_plan_draft(path))) for path in arguments.plan]
        for one in authored:
            write_signed(one, key, arguments.out)
        os.nice(NICE)
        for one in authored:
            found = scores(one, arguments.data)
            write_whole(arguments.out / f"{one.plan.study}.pooled.json", json.dumps(found).encode())
    except FederationError as error:
        return report(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
