"""[stop]: when a study ends."""

from registry.plans.form import Form
from registry.plans.keys import Key, Kind, always
from registry.plans.meaning import PlanMeaning
from runtime.units import human_time
from schemas.plan import Plan, StopRule

VERSIONS = 50  # chosen by trial on nine studies: docs/defaults.md


def _words(plan: Plan, means: PlanMeaning) -> list[tuple[str, str]]:
    stop = plan.stop
    ends = [f"{stop.versions} versions"]
    ends += [f"{stop.patience} versions without progress"] if stop.patience else []
    ends += [f"{plan.evaluation.metric} {stop.target:g}"] if stop.target is not None else []
    ends += [human_time(stop.time_s)] if stop.time_s else []
    pace = f"at one version in {human_time(means.round_s)}: {human_time(means.duration_s)}"
    return [("the end", " or ".join(ends) + f"; {pace}")]


FORM = Form(
    name="stop",
    keys={
        "versions": Key(
            Kind.WHOLE,
            required=True,
            written=always(VERSIONS),
            also=("rounds", "num_rounds", "num_server_rounds", "max_rounds"),
        ),
        "patience": Key(Kind.WHOLE, 0, "versions without progress; 0: never mind", also=("early_stopping",)),
        "target": Key(Kind.NUMBER, comment="enough, in {metric}", example=0.8),
        "time_s": Key(Kind.WHOLE, 0, "0: no limit", also=("timeout", "max_time")),
    },
    record=StopRule,
    words=_words,
)
