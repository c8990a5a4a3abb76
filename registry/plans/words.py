"""A plan in words for a terminal and in values for a script: what `plan check` prints.

Used by:  wardround.commands.plan.
"""

from dataclasses import asdict
from typing import Any

from learning import advice
from registry.plans.meaning import meaning
from runtime.units import human_bytes, human_time
from schemas.plan import Plan
from schemas.text import plain
from schemas.topics import UPDATES_KEPT_DAYS


def plan_values(plan: Plan, round_s: float) -> dict[str, Any]:
    """The same facts as `plan_lines`, units in the names."""
    facts = {"study": plan.study, "plan": plan.digest.hex(), "round_s": round_s}
    found = {**facts, **_leaves(plan), **asdict(meaning(plan, round_s))}
    return {**found, "warnings": [*found["warnings"], *_of_training(plan)]}


def _leaves(plan: Plan) -> dict[str, Any]:
    return {"metrics": list(plan.evaluation.metrics), "test_min": plan.evaluation.test_min}


def plan_lines(plan: Plan, round_s: float) -> list[str]:
    """One fact a line, what deserves a second look last."""
    means, rule, stop = meaning(plan, round_s), plan.aggregation, plan.stop
    ends = [f"{stop.versions} versions"]
    ends += [f"{stop.patience} versions without progress"] if stop.patience else []
    ends += [f"{plan.evaluation.metric} {stop.target:g}"] if stop.target is not None else []
    ends += [human_time(stop.time_s)] if stop.time_s else []
    deadline = f", or {rule.minimum} after {human_time(rule.deadline_ms / 1000)}" if rule.deadline_ms else ""
    facts = [
        ("study", f"{plan.study}: {plain(plan.title)}"),
        ("plan", plan.digest.hex()),
        ("task", f"{plan.task.entry}, code {plan.task.code.hex()[:16]}…, {plan.parameters:,} parameters"),
        ("training", _training(plan)),
        ("a version", f"{_cohort(plan)}{deadline}; {_server(plan)}"),
        ("the end", " or ".join(ends) + f"; at one version in {human_time(round_s)}: {human_time(means.duration_s)}"),
        ("absence", f"work finished before an absence of {human_time(means.absence_s)} still counts; {_weights(plan)}"),
        ("one site's share", f"at most {means.share_most:.0%} of a version"),
        ("leaves a site", _measured(plan)),
        ("a site's traffic", f"up {human_bytes(means.up_bytes)}, down {human_bytes(means.down_bytes)} a day"),
        ("disk on the broker", f"{human_bytes(means.disk_bytes)}, with updates kept {UPDATES_KEPT_DAYS} days"),
        ("audit", f"a version can be computed again from the log for {human_time(means.recompute_s)}"),
    ]
    width = max(len(name) for name, _ in facts)
    lines = [f"{name:<{width}}  {text}" for name, text in facts]
    lines += [f"{'off':<{width}}  {text}" for text in means.off]
    return lines + [f"{'look again':<{width}}  {text}" for text in (*means.warnings, *_of_training(plan))]


def _of_training(plan: Plan) -> list[str]:
    """What the numbers alone tell of rate and clip."""
    training = plan.training
    return advice.of_rate(training.optimiser, training.learning_rate) + advice.of_longest(
        training.optimiser, training.learning_rate, training.steps, plan.parameters, plan.encoding.clip
    )


def _training(plan: Plan) -> str:
    training = plan.training
    amount, what = (training.epochs, "epoch") if training.epochs else (training.steps, "step")
    work = f"{amount} {what}{'s' if amount > 1 else ''}"
    batch = f"batches of {training.batch}" if training.batch else "the full batch"
    proximal = f", proximal {training.proximal:g}" if training.proximal else ""
    return f"{training.optimiser} at {training.learning_rate:g}, {work}, {batch}{proximal}"


def _cohort(plan: Plan) -> str:
    goal, sites = plan.aggregation.goal, plan.sites_expected
    if goal == 1 < sites:
        return f"1 update of {sites} sites: a quick site can make versions without the others"
    return f"{goal} update{'s' * (goal != 1)} of {sites} site{'s' * (sites != 1)}"


def _server(plan: Plan) -> str:
    rule = plan.aggregation
    weighted = "weighted by examples" if plan.aggregation.examples else "every site alike"
    if plan.aggregation.absence_cap > 1:
        weighted = f"a site long not heard up to {plan.aggregation.absence_cap} times"
    return f"{rule.server_optimiser} at {rule.server_lr:g}, {weighted}"


def _measured(plan: Plan) -> str:
    rule = plan.evaluation
    often = "each version" if rule.every == 1 else f"every {rule.every}th version"
    smallest = f" from {rule.test_min} test patients on" if rule.test_min > 1 else ""
    return f"of {often} its {', '.join(rule.metrics)}{smallest}; no other metric, whatever the task measures"


def _weights(plan: Plan) -> str:
    table = plan.aggregation.weight_table
    if len(set(table)) == 1:
        return "every update weighs the same, however late"
    shown = ", ".join(str(weight) for weight in table[:6])
    return f"weights by staleness, in 16ths: {shown}{'…' if len(table) > 6 else ''} (least {table[-1]})"
