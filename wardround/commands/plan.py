"""Write, check, name and sign the plan of a study.

A plan is a TOML file that its author writes, most keys left out. `check` says in plain words what it would mean,
`sign` runs the task once for version 0 and writes STUDY.plan (signed, with a digest that names the study for ever)
and STUDY.initial. A published plan never changes: a changed plan is a new study.

example:
  wardround plan init studies.lung.task:task --site clinic-north --site clinic-south > plan.toml
  wardround plan check plan.toml --round 10m
  wardround plan digest plan.toml
  wardround plan digest lung.plan --files
  wardround plan sign plan.toml --key keys/registrar.sign
"""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from wardround.commands import options

if TYPE_CHECKING:
    from schemas.plan import Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    into = parser.add_subparsers(required=True, metavar="init|check|digest|sign")
    init = options.subcommand(
        into,
        "init",
        run_init,
        "Write an annotated plan for a task, every key with its default, after running the task once.",
        "wardround plan init studies.lung.task:task --site clinic-north --site clinic-south --out plan.toml",
    )
    init.add_argument("entry", metavar="STUDY", help="the study's folder, or its task as package.module:attribute")
    init.add_argument("--study", help="the study's id (default: the name of the task's folder)")
    init.add_argument("--site", action="append", default=[], help="a site expected to take part; repeatable")
    init.add_argument("--out", type=Path, metavar="FILE", help="where to write (default: print it)")
    init.add_argument("--force", action="store_true", help="write over a file that is there")
    check = options.subcommand(
        into,
        "check",
        run_check,
        "Say what a plan means: days of absence, bytes, disk, shares, and what it does without.",
        "wardround plan check plan.toml --round 10m",
    )
    check.add_argument("--round", default="10m", metavar="TIME", help="expected time of a version: 30s, 10m, 6h, 1d")
    digest = options.subcommand(
        into,
        "digest",
        run_digest,
        "Print the digest by which a plan is approved at each site, or that of each file of its task.",
        "wardround plan digest lung.plan --files",
    )
    digest.add_argument(
        "--files", action="store_true", help="the files of the task here, each with its digest: compare two machines"
    )
    for one in (check, digest):
        one.add_argument("plan", type=Path, metavar="PLAN", help="plan.toml (its task is run once) or a signed .plan")
        options.add_json(one)
    sign = options.subcommand(
        into,
        "sign",
        run_sign,
        "Run the task once for version 0 and write STUDY.plan and STUDY.initial.",
        "wardround plan sign plan.toml --key keys/registrar.sign --out signed",
    )
    sign.add_argument("plan", type=Path, metavar="plan.toml")
    sign.add_argument(
        "--untried",
        action="store_true",
        help="sign a plan whose task fails on invented patients, or needs long for them",
    )
    sign.add_argument("--out", type=Path, default=Path(), metavar="FOLDER", help="where to write (default: here)")
    options.add_registrar_key(sign)
    options.add_json(sign)
    for one in (check, digest, sign):
        one.add_argument(
            "--warm", type=Path, metavar="FILE", help="begin from this model (.safetensors, or p float32), not a seed"
        )


def run_init(arguments: argparse.Namespace) -> int:
    from protocol.files import write_whole
    from registry.keyfiles import check_place
    from registry.plans.template import plan_of_task
    from schemas.errors import LocalError

    if arguments.out is not None:
        if arguments.out.exists() and not arguments.force:
            raise LocalError(
                f"{arguments.out} exists already", hint="name another file with --out, or write over it with --force"
            )
        check_place(arguments.out)
    entry = _entry(arguments.entry)
    study = arguments.study or _folder_name(entry).replace("_", "-").lower()
    _check_names(study, arguments.site)
    with options.waiting(f"importing {entry}"):
        text = plan_of_task(entry, study=study, sites=arguments.site or ["site-1", "site-2", "site-3"])
    if arguments.out is None:
        print(text, end="")
        return 0
    write_whole(arguments.out, text.encode())
    print(f"{arguments.out} written; next: `wardround plan check {arguments.out}`")
    return 0


def _entry(named: str) -> str:
    """The task that a person names by its folder, its task.py or as package.module:attribute. Raises LocalError."""
    from learning.places import entry_of, look_in, place_of
    from schemas.errors import LocalError

    folder = Path(named).parent if Path(named).name == "task.py" else Path(named)
    if ":" in named and not folder.is_dir():
        return named
    if not folder.is_dir():
        raise LocalError(f"{named} is no study", hint="name the study's folder, or package.module:attribute")
    entry = entry_of(folder)
    look_in(place_of(folder, entry))
    return entry


def _folder_name(entry: str) -> str:
    """The folder of studies.lung.task:task is lung; of task:task, a module in no package, there is none: task."""
    modules = entry.partition(":")[0].split(".")
    return modules[-2] if len(modules) > 1 else modules[0]


def _check_names(study: str, sites: list[str]) -> None:
    """Raises LocalError for names that `plan check` would refuse, with one that it takes."""
    from schemas.codec import ID
    from schemas.errors import LocalError

    for option, name in [("--study", study), *(("--site", site) for site in sites)]:
        try:
            ID.pack(name)
        except ValueError as error:
            near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
            raise LocalError(f"{option} {name}: {error}", hint=f"for example {option} {near or 'site-1'}") from None
    if twice := sorted({site for site in sites if sites.count(site) > 1}):
        raise LocalError(f"--site names {', '.join(twice)} more than once", hint="each site has a name of its own")


def run_check(arguments: argparse.Namespace) -> int:
    from registry.plans.words import plan_lines, plan_values

    round_s = seconds(arguments.round, "--round")
    plan = _load(arguments)
    options.emit(arguments, plan_values(plan, round_s), plan_lines(plan, round_s))
    return 0


def run_digest(arguments: argparse.Namespace) -> int:
    if arguments.files:
        return _run_files(arguments)
    plan = _load(arguments)
    options.emit(arguments, {"study": plan.study, "plan": plan.digest.hex()}, [plan.digest.hex()])
    return 0


def _run_files(arguments: argparse.Namespace) -> int:
    """The task's manifest on this machine; no line of the task is run."""
    from learning.entry import task_manifest
    from registry.plans.authoring import read_plan_draft, read_signed_plan

    approved = None
    if arguments.plan.suffix == ".plan":
        task = read_signed_plan(arguments.plan).task
        entry, approved = task.entry, task.code
    else:
        entry = read_plan_draft(arguments.plan).entry
    manifest = task_manifest(entry)
    values: dict[str, object] = {
        "task": entry,
        "folder": str(manifest.folder),
        "digest": manifest.digest.hex(),
        "files": {file.name: file.digest.hex() for file in manifest.files},
        "left_out": list(manifest.left_out),
    }
    lines = [f"{file.digest.hex()}  {file.size_bytes:>9,}  {file.name}" for file in manifest.files]
    lines += [f"{'left out':64}  {'':>9}  {name}" for name in manifest.left_out]
    lines.append(f"{manifest.digest.hex()}  {'':>9}  {entry} in {manifest.folder}")
    if approved is not None:
        values |= {"approved": approved.hex(), "same": manifest.matches(approved)}
        same = "this is the task that the plan approves" if manifest.matches(approved) else "the plan approves another"
        lines.append(f"{approved.hex()}  {'':>9}  {same}")
    options.emit(arguments, values, lines)
    return 0


def run_sign(arguments: argparse.Namespace) -> int:
    from registry.plans.authoring import author_plan, write_signed

    key = options.registrar_key(arguments)
    with options.waiting("running the task once for version 0"):
        authored = author_plan(arguments.plan, warm=arguments.warm)
    if not arguments.untried:
        with options.waiting("trying the task on invented patients"):
            _refuse_faults(arguments.plan)
    plan_path, initial_path = write_signed(authored, key, arguments.out)
    plan = authored.plan
    values = {
        "study": plan.study,
        "plan": plan.digest.hex(),
        "parameters": plan.parameters,
        "files": [str(plan_path), str(initial_path)],
    }
    lines = [
        f"{plan_path}     study {plan.study}, plan {plan.digest.hex()}",
        f"{initial_path}  version 0, {plan.parameters:,} parameters",
        f"next: `wardround study create {plan_path}`",
    ]
    options.emit(arguments, values, lines)
    return 0


def _refuse_faults(plan: Path) -> None:
    """Raises LocalError when the plan's task does on invented patients what no hospital could use."""
    import tempfile

    from rehearsal.trial import Trial, setting_of_plan
    from schemas.errors import LocalError

    with tempfile.TemporaryDirectory(prefix="wardround-") as scratch:
        faults = [one for one in Trial(setting_of_plan(plan, Path(scratch))).run() if one.level == "fault"]
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise LocalError(
            f"the task would fail at hospitals: {faults[0].what}: {faults[0].said}{more}",
            hint=f"{faults[0].todo + '; ' if faults[0].todo else ''}all of it: `wardround task test {plan}`",
        )


def seconds(text: str, option: str) -> float:
    """'10m' -> 600.0. Raises LocalError naming `option` for anything else."""
    from schemas.errors import LocalError

    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h|d)", text)
    if match is None or float(match[1]) == 0:
        raise LocalError(f"{option} `{text}` is no time", hint="write for example 30s, 10m, 6h or 1d")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def _load(arguments: argparse.Namespace) -> "Plan":
    from registry.plans.authoring import author_plan, read_signed_plan
    from schemas.errors import LocalError

    if arguments.plan.suffix == ".plan":
        if arguments.warm is not None:
            raise LocalError(
                f"--warm {arguments.warm} does nothing: {arguments.plan} is signed, its version 0 is settled",
                hint="leave it out, or name the plan.toml",
            )
        return read_signed_plan(arguments.plan)
    with options.waiting("running the task once"):
        return author_plan(arguments.plan, warm=arguments.warm).plan
