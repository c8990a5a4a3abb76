"""The words of a report: a plan and a study's course in sentences for somebody who keeps data, not code.

Never:    says more than the log shows; what a plan leaves off (masking, noise) is said, not passed over.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from audit.history import OVERTAKEN, Commanded, SiteHistory, StudyHistory
from runtime.units import human_seconds
from schemas.plan import Aggregation, Plan
from schemas.records import Action, Command, Stop
from schemas.text import plain
from schemas.topics import UPDATES_KEPT_DAYS
from wardround.report.comparison import Comparison, Score

CODES = {
    "duplicate": "had been decided before",
    "stranger": "came from nobody on the roster",
    "revoked": "was signed with a revoked key",
    "plan": "was made under another plan",
    "final": "came after the study had ended",
    "stale": "was too many versions behind",
    "floor": "asked for a larger cohort than the plan has",
    "box": "could not be opened",
    "epoch": "was sealed to a key that is no longer used",
    "range": "had numbers outside the plan's bounds",
    "malformed": "could not be read",
    "trustees": "named other trustees than the plan",
    "excluded": "came from a site that an operator had excluded",
    "void": "was in a cohort that failed as a whole",
    OVERTAKEN: "was decided while nobody was reading, and later ones after it",
}
STOPS = {
    Stop.NONE: "The study was still running when this report was written.",
    Stop.VERSIONS: "The study ended as planned, after its last version.",
    Stop.PATIENCE: "The study ended because versions had stopped improving.",
    Stop.TARGET: "The study ended because its target was reached.",
    Stop.TIME: "The study ended because its time was over.",
    Stop.OPERATOR: "The study was ended by its operator.",
}

ACTIONS = {
    Action.START: "begin",
    Action.PAUSE: "pause: no round closes",
    Action.RESUME: "go on",
    Action.STOP: "end the study",
    Action.EXCLUDE: "refuse the updates of {site}",
    Action.INCLUDE: "take the updates of {site} again",
    Action.CLOSE: "close the round after version {version} with what is there",
}
COMMANDS_MAX = 200  # rows of the table


def human_moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%d %B %Y, %H:%M UTC").lstrip("0")


LEFT_OUT_NAMED = 6
SEALED = (
    "What single sites measured is sealed to the coordinator and to the auditors that the plan names, so this page "
    "compares no models. Make it with the opening key of one of them: wardround report … --key FILE."
)


def human_score(score: Score | None, *, interval: bool = True) -> str:
    """A metric with its interval; without one where resampling the test patients could not give it."""
    if score is None:
        return "–"
    text = human_number(score.value)
    if interval and score.low is not None and score.high is not None:
        return f"{text} ({human_bound(score.low)}–{human_bound(score.high)})"
    return text


def human_number(value: float) -> str:
    return f"{value:.3f}" if 0.001 <= abs(value) < 100 or value == 0 else f"{value:.3g}"


def human_bound(value: float) -> str:
    """A bound of an interval: two decimals say enough."""
    return f"{value:.2f}" if 0.01 <= abs(value) < 100 or value == 0 else f"{value:.2g}"


def listing(words: Iterable[str]) -> str:
    """`a, b and c`."""
    found = list(words)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}" if found else "none"


def course(history: StudyHistory) -> list[str]:
    """What happened, in a few sentences."""
    newest = max(history.version, 0)
    took = f" in {human_seconds(history.seconds)}" if history.seconds else ""
    said = [
        f"{_makers(history)} made {newest} version{'s' * (newest != 1)} of one model together{took}. "
        f"No patient record left a site: each sent updates of the model, {history.offered} in all.",
        f"{history.counted} updates were counted, each exactly once. {_refusals(history)}",
    ]
    late = [
        number
        for version in history.versions.values()
        for update in version.cohort
        if (number := history.staleness(version, update))
    ]
    if late:
        said.append(
            f"{len(late)} of the counted updates came late, up to {max(late)} version{'s' * (max(late) != 1)} behind; "
            "they counted with the smaller weight that the plan sets for that."
        )
    if history.failed:
        said.append(f"{len(history.failed)} cohorts failed as a whole; their sites trained again.")
    if history.commands:
        said.append(_commanded(history))
    if history.missing:
        said.append(f"The broker lacked {listing(history.missing)}: what stood there is not in this report.")
    return [*said, STOPS[history.stop]]


def contributors(history: StudyHistory) -> list[str]:
    """Sites of which an update was counted, by name."""
    return sorted({update.site for version in history.versions.values() for update in version.cohort})


def site_count(history: StudyHistory) -> str:
    """`4`, or `3 of 4` where nothing was counted of one."""
    made, sites = len(contributors(history)), len(history.sites)
    return str(sites) if made in (0, sites) else f"{made} of {sites}"


def _makers(history: StudyHistory) -> str:
    made, sites = contributors(history), len(history.sites)
    if len(made) in (0, sites):
        return f"{sites} site{'s' * (sites != 1)}"
    silent = listing(sorted(history.sites.keys() - set(made)))
    return f"{len(made)} of {sites} sites (nothing of {silent} was counted)"


def approval(history: StudyHistory) -> str:
    """Who approved the plan, as far as the log shows: a site sends updates and figures of a plan it approved alone."""
    shown = sorted(name for name, site in history.sites.items() if _approved(site))
    rest = "Another plan would have another digest."
    if not shown:
        return f"The log does not show yet that a site approved this plan, by its digest. {rest}"
    silent = listing(sorted(history.sites.keys() - set(shown)))
    if len(shown) == len(history.sites):
        return f"All sites approved this plan, by its digest, before they trained anything. {rest}"
    return (
        f"{listing(shown)} approved this plan, by its digest, before they trained anything; "
        f"that {silent} did, the log does not show. {rest}"
    )


def _approved(site: SiteHistory) -> bool:
    decided = [one for one in site.decisions.values() if one.code not in ("plan", OVERTAKEN)]
    return bool(site.evaluations or decided or site.offers.keys() - site.decisions.keys())


def _commanded(history: StudyHistory) -> str:
    count = len(history.commands)
    who = listing(sorted({one.operator for one in history.commands}))
    now = [f"{listing(sorted(history.orders.excluded))} stayed excluded"] if history.orders.excluded else []
    now += ["the study stayed paused"] if history.orders.paused and not history.final else []
    held = f"; at the end {listing(now)}" if now else ""
    return f"{count} command{'s' * (count != 1)} of {who} stand{'s' * (count == 1)} on the log{held}; see below."


def command(given: Command) -> str:
    """What an operator wanted, in words."""
    return ACTIONS[Action(given.action)].format(site=given.site, version=given.version)


def newest_commands(history: StudyHistory) -> list[Commanded]:
    """Those that a report has room for, in the order of the log."""
    return history.commands[-COMMANDS_MAX:]


def _refusals(history: StudyHistory) -> str:
    parts = []
    if history.refused:
        total = sum(history.refused.values())
        reasons = listing(f"{n} as “{code}”" for code, n in history.refused.items())
        parts.append(f"{total} {'was' if total == 1 else 'were'} refused: {reasons}; the codes are explained below.")
    else:
        parts.append("None was refused.")
    if history.undecided:
        parts.append(f"{history.undecided} had no answer yet when this was written.")
    return " ".join(parts)


def verdict(comparison: Comparison) -> str:
    """How the federated model compares overall, without more certainty than the intervals allow."""
    alone, federated, pooled = comparison.overall.alone, comparison.overall.federated, comparison.overall.pooled
    if comparison.sealed:
        return SEALED
    if federated is None:
        return "No site has reported the metric yet."
    over = (
        f"the {len(comparison.rows) - len(comparison.left_out)} sites compared" if comparison.left_out else "all sites"
    )
    text = f"Over {over} the federated model reaches {comparison.metric} {human_number(federated.value)}"
    if alone is not None:
        text += f"; models trained by each site alone reach {human_number(alone.value)}"
    if pooled is not None:
        text += f"; one model trained on all records in one place would reach {human_number(pooled.value)}"
    wide = [row for row in comparison.rows if row.federated is not None and row.federated.low is not None]
    if wide:
        text += (
            ". The intervals (95 %, by bootstrap over test patients) are wide where a site has few test patients: "
            "a difference smaller than its interval may be chance"
        )
    return text + "." + without(comparison)


def without(comparison: Comparison) -> str:
    """A sentence of its own on the sites that the overall row leaves out; empty when it has them all."""
    if not comparison.left_out:
        return ""
    named = [f"{site} ({why})" for site, why in comparison.left_out[:LEFT_OUT_NAMED]]
    more = len(comparison.left_out) - len(named)
    return f" Overall is without {listing([*named, *([f'{more} more'] if more else [])])}."


def plan_in_words(plan: Plan) -> list[tuple[str, str]]:
    """(heading, text): what all sites agreed to before anything was trained."""
    return [
        ("What is learnt", _task(plan)),
        ("What a site does", _training(plan)),
        ("When a version is made", _gathering(plan.aggregation)),
        ("Late work", _lateness(plan.aggregation)),
        ("What an update can carry", _bounds(plan)),
        ("What is not hidden", _not_hidden(plan)),
        ("What is measured", _measured(plan)),
        ("When it ends", _ending(plan)),
        ("What is kept", _kept(plan)),
    ]


def _task(plan: Plan) -> str:
    return (
        f"“{plain(plan.title)}”, a model of {plan.parameters:,} numbers, by the code {plan.task.entry}. Every site "
        f"checks that code against its digest {plan.task.code.hex()[:16]}… and runs no other."
    )


def _training(plan: Plan) -> str:
    rule = plan.training
    length = (
        f"{rule.epochs} pass{'es' * (rule.epochs != 1)} over its patients"
        if rule.epochs
        else f"{rule.steps} step{'s' * (rule.steps != 1)},"
    )
    batch = f"in batches of {rule.batch}," if rule.batch else "all of them at once,"
    near = f", held near the shared model (proximal term {rule.proximal:g})" if rule.proximal else ""
    return (
        f"It takes the newest version, trains {length} {batch} with {rule.optimiser} at rate "
        f"{rule.learning_rate:g}{near}, at most {human_seconds(rule.time_limit_s)}, and sends the difference. "
        "It uses each version once."
    )


def _gathering(rule: Aggregation) -> str:
    text = f"As soon as updates of {rule.goal} sites are there"
    if rule.minimum < rule.goal:
        text += f", or {human_seconds(rule.deadline_ms / 1000)} later with at least {rule.minimum}"
    step = "their mean is added" if rule.server_optimiser == "average" else f"{rule.server_optimiser} takes their mean"
    return (
        f"{text}; {step} at rate {rule.server_lr:g}. Nobody waits for a site that is away. "
        f"Fewer than {rule.cohort_min} updates are never combined."
    )


def _lateness(rule: Aggregation) -> str:
    table = rule.weight_table
    if len(set(table)) == 1:
        weights = "with full weight"
    else:
        shown = ", ".join(f"{weight / 16:.2f}" for weight in table[:8])
        weights = f"with weight {shown}{' …' if len(table) > 8 else ''} for 0, 1, 2 … versions behind"
    return f"An update counts up to {rule.staleness_max} versions behind, {weights}. A later one is refused."


def _bounds(plan: Plan) -> str:
    encoding, rule = plan.encoding, plan.aggregation
    weigh = f" Sites weigh by their number of patients, at most {rule.examples_max}." if rule.examples else ""
    if plan.aggregation.absence_cap > 1:
        weigh = (
            f" The update of a site that was long not heard counts up to {plan.aggregation.absence_cap} times as much."
        )
    return (
        f"An update is cut to length {encoding.clip:g} and each number in it to {encoding.clip_inf:g}, then rounded to "
        f"steps of 2^{-encoding.scale_bits}.{weigh} It is signed by its site, and sealed: the broker cannot read it."
    )


def _not_hidden(plan: Plan) -> str:
    said = []
    if not plan.masking.trustees:
        readers = listing(["the coordinator", *plan.storage.auditors])
        said.append(f"Updates are not masked: {readers} can read the update of a single site.")
    if plan.noise.noise_std == 0:
        said.append("No noise is added: the plan makes no claim of differential privacy.")
    return " ".join(said) or "Updates are masked, and noise is added before anything can be read."


def _measured(plan: Plan) -> str:
    rule = plan.evaluation
    every = "every version" if rule.every == 1 else f"every {rule.every}th version and the last"
    alone = " It also reports how a model of its own, trained without the others, does." if rule.alone else ""
    return f"Each site judges {every} by {rule.metric} on patients it never trains with, and sends the figures.{alone}"


def _ending(plan: Plan) -> str:
    rule, parts = plan.stop, [f"After {plan.stop.versions} versions"]
    if rule.patience:
        parts.append(f"after {rule.patience} versions without progress")
    if rule.target is not None:
        parts.append(f"when {plan.evaluation.metric} reaches {rule.target:g}")
    if rule.time_s:
        parts.append(f"after {human_seconds(rule.time_s)}")
    return ", or ".join(parts) + (", whichever comes first." if len(parts) > 1 else ".")


def _kept(plan: Plan) -> str:
    rule = plan.storage
    who = f", for {listing(rule.auditors)} to open" if rule.auditors else ""
    versions = f"The newest {rule.versions_kept} versions stay on the broker."
    bodies = f"Bodies of updates stay {UPDATES_KEPT_DAYS} days{who}, or less where a site has reached its size cap"
    return f"{versions} {bodies}; the chain of decisions stays for ever."
