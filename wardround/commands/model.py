"""Take a study's model out of the federation as one file, and see what such a file holds.

`export` fetches a version with a member's opening key, checks every byte against the log, and writes its state by name
as safetensors, which torch, numpy and many other programs read and which executes nothing. The file's header names
study, plan, version, task, metric and sites. `show` prints that header.

example:
  wardround model export lung --best --out lung.safetensors --member site-1 --open keys/site-1.open
  wardround model show lung.safetensors
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.text import plain
from wardround.commands import options

if TYPE_CHECKING:
    from learning.model_file import ModelHeader


def add_arguments(parser: argparse.ArgumentParser) -> None:
    into = parser.add_subparsers(required=True, metavar="export|show")
    export = options.subcommand(
        into,
        "export",
        run_export,
        "Write one version of a study's model as safetensors. The task is imported for the names of its tensors, and "
        "has to be the one that the plan approves.",
        "wardround model export lung --best --out lung.safetensors --member site-1 --open keys/site-1.open",
    )
    export.add_argument("study", help="the study's id")
    which = export.add_mutually_exclusive_group()
    which.add_argument("--version", type=int, metavar="N", help="this version (default: the newest)")
    which.add_argument("--best", action="store_true", help="the version that sites judged best, of those kept")
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write: model.safetensors")
    export.add_argument("--member", required=True, metavar="NAME", help="the member whose key opens the model")
    export.add_argument(
        "--open", type=Path, metavar="FILE",
        help="that member's opening key (default: keys/NAME.open); retired ones are taken from beside it",
    )  # fmt: skip
    export.add_argument(
        "--study-folder", type=Path, metavar="FOLDER",
        help="the folder of the study's task.py (default: the plan's entry, where it can be imported)",
    )  # fmt: skip
    options.add_registrar_public(export)
    options.add_broker(export)
    options.add_json(export)
    show = options.subcommand(
        into, "show", run_show, "Print what a model file says of itself.", "wardround model show lung.safetensors"
    )
    show.add_argument("model", type=Path, metavar="MODEL", help="a file that `wardround model export` wrote")
    options.add_json(show)


def run_export(arguments: argparse.Namespace) -> int:
    from audit.federation import AsyncFederation
    from registry.keyfiles import check_place

    options.logs_of_a_command()
    check_place(arguments.out, folders_made=True)
    opening_key = arguments.open or Path("keys") / f"{arguments.member}.open"
    federation = AsyncFederation(
        **options.reached(arguments, opening_key),
        registrar_key=arguments.registrar,
        member=arguments.member,
        opening_key=opening_key,
    )
    with options.waiting(f"fetching the model of {arguments.study} from {arguments.broker}"):
        exported = options.run(arguments,
            federation.export(
                arguments.study, arguments.out,
                version=arguments.version, best=arguments.best, folder=arguments.study_folder,
            )
        )  # fmt: skip
    values = _values(exported.header) | {"file": str(arguments.out)}
    options.emit(arguments, values, [*_lines(exported.header), *exported.remarks, f"{arguments.out} written"])
    return 0


def run_show(arguments: argparse.Namespace) -> int:
    from learning.model_file import read_model

    header, state = read_model(arguments.model)
    tensors = {name: {"dtype": str(array.dtype), "shape": list(array.shape)} for name, array in sorted(state.items())}
    width = max((len(name) for name in tensors), default=0)
    lines = [f"  {plain(name):<{width}}  {one['dtype']} {one['shape']}" for name, one in tensors.items()]
    options.emit(arguments, _values(header) | {"tensors": tensors}, [*_lines(header), "tensors", *lines])
    return 0


def _values(header: "ModelHeader") -> dict[str, object]:
    from dataclasses import asdict

    return asdict(header)


def _lines(header: "ModelHeader") -> list[str]:
    judged = "measured by too few sites to say" if header.value is None else f"{header.value:.4g}"
    over = f", over {header.judged_by} sites" if header.value is not None else ""
    facts = {
        "study": f"{header.study}: {header.title}",
        "version": f"{header.version}, {header.parameters:,} parameters, digest {header.model}",
        header.metric: f"{judged}{over} ({'higher' if header.higher_is_better else 'lower'} is better)",
        "plan": header.plan,
        "task": f"{header.task}, code {header.code}",
        "sites": ", ".join(header.sites) or "none: this is the model that the study began with",
    }
    width = max(len(name) for name in facts)
    return [f"{plain(name):<{width}}  {plain(text)}" for name, text in facts.items()]
