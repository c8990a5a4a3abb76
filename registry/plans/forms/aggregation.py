"""[aggregation]: when updates make a version, what each weighs, and the server's step.

Source:   FedOpt (arXiv 2003.00295) for the defaults of beta1, beta2 and the denominator's floor.
"""

from collections.abc import Mapping
from typing import Any

from registry.plans.form import Form, Making, first
from registry.plans.keys import Key, Kind, always
from registry.plans.meaning import DAY_S, PlanMeaning
from registry.plans.presets import EXAMPLES, absence_step, deadline_s, goal_of, minimum_of, staleness_of
from runtime.units import human_time
from schemas.plan import ABSENCE_CAP_MAX, PRESETS, Aggregation, Plan

_NO_RATE = ("adagrad", "yogi", "adam")  # servers' optimisers without a rate that fits all


def _fields(making: Making) -> dict[str, Any] | None:
    given, sites = making.values["aggregation"], making.fields["sites_expected"]
    goal = first(given["goal"], goal_of(given["preset"], sites))
    minimum = first(given["minimum"], minimum_of(goal, sites))
    seconds = first(given["deadline_s"], deadline_s(goal, minimum))
    problems = _problems(given, seconds)
    weights = staleness_of(given, problems)
    making.problems += problems
    if problems:
        return None
    return {
        "goal": goal,
        "minimum": minimum,
        "cohort_min": first(given["cohort_min"], minimum),
        "cohort_max": first(given["cohort_max"], goal),
        "deadline_ms": round(seconds * 1000),
        "weight_table": weights,
        "examples": EXAMPLES if given["examples"] else None,
        "examples_max": given["examples_max"] or 0,
        "server_lr": first(given["server_lr"], 1.0)
        * absence_step(given["server_optimiser"], given["absence_cap"], goal, sites),
    }


def _problems(given: Mapping[str, Any], seconds: float) -> list[str]:
    """What the author has to decide before there is anything to work out."""
    found, cap = [], given["absence_cap"]
    if given["preset"] not in PRESETS:
        found.append(f"aggregation.preset `{given['preset']}` is none of {', '.join(PRESETS)}")
    if not 1 <= cap <= ABSENCE_CAP_MAX:
        found.append(f"aggregation.absence_cap {cap} is not within 1..{ABSENCE_CAP_MAX} (1: absence does not weigh)")
    if seconds < 0:
        found.append("aggregation.deadline_s must not be negative (0: only the goal closes a cohort)")
    if given["server_lr"] is None and given["server_optimiser"] in _NO_RATE:
        found.append(f"aggregation.server_lr is missing: {given['server_optimiser']} has no rate that fits all")
    if given["examples"] and not given["examples_max"]:
        found.append("aggregation.examples_max is missing: the largest number of training examples of any site")
    return found


def _words(plan: Plan, means: PlanMeaning) -> list[tuple[str, str]]:
    rule = plan.aggregation
    deadline = f", or {rule.minimum} after {human_time(rule.deadline_ms / 1000)}" if rule.deadline_ms else ""
    return [
        ("a version", f"{_cohort(plan)}{deadline}; {_server(rule)}"),
        (
            "absence",
            f"work finished before an absence of {human_time(means.absence_s)} still counts; {_weights(rule)}",
        ),
        ("one site's share", f"at most {means.share_most:.0%} of a version"),
    ]


def _cohort(plan: Plan) -> str:
    goal, sites = plan.aggregation.goal, plan.sites_expected
    if goal == 1 < sites:
        return f"1 update of {sites} sites: a quick site can make versions without the others"
    return f"{goal} update{'s' * (goal != 1)} of {sites} site{'s' * (sites != 1)}"


def _server(rule: Aggregation) -> str:
    weighted = "weighted by examples" if rule.examples else "every site alike"
    if rule.absence_cap > 1:
        weighted = f"a site long not heard up to {rule.absence_cap} times"
    return f"{rule.server_optimiser} at {rule.server_lr:g}, {weighted}"


def _weights(rule: Aggregation) -> str:
    table = rule.weight_table
    if len(set(table)) == 1:
        return "every update weighs the same, however late"
    shown = ", ".join(str(weight) for weight in table[:6])
    return f"weights by staleness, in 16ths: {shown}{'…' if len(table) > 6 else ''} (least {table[-1]})"


def _warnings(plan: Plan, round_s: float) -> list[str]:
    rule, sites, found = plan.aggregation, plan.sites_expected, []
    if rule.goal > sites:
        found.append(f"goal {rule.goal} is above the {sites} sites: every version waits for its deadline")
    elif rule.minimum == sites and sites > 1:
        found.append(f"every version waits for all {sites} sites: one that is away stops the study")
    if rule.deadline_ms and rule.deadline_ms / 1000 < round_s / 4:
        found.append(
            f"the deadline of {rule.deadline_ms / 1000:g} s is short for versions of {round_s:g} s: most will "
            "hold the minimum only"
        )
    if 1 < rule.cohort_min < 3:
        found.append("cohorts of two: each of the two can work out what the other one sent from the sum")
    if rule.staleness_max * round_s < DAY_S < plan.stop.versions * round_s:
        found.append("a site that is away for a day loses the work it finished before: raise staleness_max")
    return found


FORM = Form(
    name="aggregation",
    keys={
        "preset": Key(
            Kind.TEXT,
            "fedbuff",
            "fedbuff: two thirds of the sites; fedavg: all of them; fedasync: one",
            written=always("fedbuff"),
            also=("strategy", "algorithm", "method"),
        ),
        "goal": Key(
            Kind.WHOLE, comment="so many updates close a version", also=("buffer_size", "aggregation_goal", "k")
        ),
        "minimum": Key(
            Kind.WHOLE, comment="so many are enough at the deadline", also=("min_clients", "min_fit_clients")
        ),
        "cohort_min": Key(Kind.WHOLE, comment="never fewer"),
        "cohort_max": Key(Kind.WHOLE, comment="never more"),
        "deadline_s": Key(
            Kind.NUMBER,
            comment="after the round's start; 0: none",
            field="deadline_ms",
            read=lambda plan: plan.aggregation.deadline_ms / 1000,
            also=("deadline", "round_timeout", "timeout"),
        ),
        "staleness": Key(
            Kind.TEXT, comment="how a late update weighs: polynomial, hinge, constant", example="polynomial"
        ),
        "exponent": Key(Kind.NUMBER, comment="polynomial: (1 + versions late) ** -exponent", example=0.5),
        "slope": Key(Kind.NUMBER, comment="hinge", example=0.5),
        "late_from": Key(Kind.WHOLE, comment="hinge", example=4),
        "staleness_max": Key(Kind.WHOLE, 64, "later than so many versions: refused", also=("max_staleness",)),
        "examples": Key(
            Kind.FLAG,
            False,
            "true: a site weighs by its number of training patients",
            was=("privacy.examples",),
            also=("weighted",),
        ),
        "examples_max": Key(
            Kind.WHOLE, comment="then the largest number of any site", example=1000, was=("privacy.examples_max",)
        ),
        "absence_cap": Key(Kind.WHOLE, 1, "above 1: a site long not heard counts up to so many times as much"),
        "server_optimiser": Key(
            Kind.TEXT, "average", "average, momentum, adagrad, yogi, adam", also=("server_optimizer", "optimizer")
        ),
        "server_lr": Key(
            Kind.NUMBER,
            comment="what the step is multiplied by",
            also=("server_learning_rate", "lr", "learning_rate", "eta"),
        ),
        "beta1": Key(
            Kind.NUMBER,
            0.9,
            "how much of the mean of steps stays: momentum, yogi, adam",
            also=("beta_1", "server_momentum", "momentum"),
        ),
        "beta2": Key(Kind.NUMBER, 0.99, "the same of the mean of squares: yogi, adam", also=("beta_2",)),
        "denominator_floor": Key(
            Kind.NUMBER,
            1e-3,
            "added to the root that adagrad, yogi and adam divide by",
            was=("aggregation.epsilon",),
            also=("eps", "tau"),
        ),
    },
    record=Aggregation,
    derive=_fields,
    words=_words,
    warnings=_warnings,
)
