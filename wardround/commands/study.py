"""Begin a study: make its topics, upload version 0 sealed to the coordinator, publish its plan.

A study runs from the moment its plan is published; the coordinator announces version 0 and sites that approved the
plan begin to train. If this command was interrupted, run it again; once the plan is published it only makes those
topics again that somebody has deleted.

example:
  wardround study create lung.plan
"""

import argparse
import sys
from pathlib import Path

from wardround.commands import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    into = parser.add_subparsers(required=True, metavar="create")
    create = options.subcommand(
        into,
        "create",
        run,
        "Publish a signed plan and its version 0. Needs a roster that names the coordinator.",
        "wardround study create lung.plan",
    )
    create.add_argument("plan", type=Path, metavar="STUDY.plan", help="written by `wardround plan sign`")
    create.add_argument(
        "--initial", type=Path, metavar="FILE", help="version 0 (default: STUDY.initial beside the plan)"
    )
    options.add_replication(create)
    options.add_registrar_key(create)
    options.add_broker(create)
    options.add_json(create)


def run(arguments: argparse.Namespace) -> int:
    from protocol.rings import SignRing
    from registry.plans.authoring import read_signed_plan
    from registry.registrar import CreatedStudy, Registrar

    key = options.registrar_key(arguments)
    plan = read_signed_plan(arguments.plan, *SignRing.load(arguments.key, options.passphrase(arguments)).publics)
    initial = arguments.initial or arguments.plan.with_suffix(".initial")
    settings = options.registrar_settings(arguments)

    async def create() -> CreatedStudy:
        async with Registrar(settings, key, replication=arguments.replication) as registrar:
            registrar.refuse_foreign_log()
            return await registrar.create_study(plan, initial, progress=_progress)

    created = options.run(arguments, create())
    digest = created.digest.hex()
    line = f"study {plan.study} is published: plan {digest}" if created.new else f"study {plan.study} stood already"
    approve = f'each site approves it in its settings: [[studies]] plan = "{digest}"'
    options.emit(arguments, {"study": plan.study, "plan": digest, "new": created.new}, [line, approve])
    return 0


def _progress(sent: int, total: int) -> None:
    if sys.stderr.isatty() and total > 1:
        end = "\n" if sent == total else ""
        print(f"\rversion 0: {sent} of {total} chunks sent", end=end, file=sys.stderr, flush=True)
