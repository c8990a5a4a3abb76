"""[training]: what a site does for one update."""

from typing import Any

from learning import advice
from registry.plans.form import Form, Making, first
from registry.plans.keys import Key, Kind, always
from registry.plans.meaning import PlanMeaning
from schemas.plan import Plan, Training

OPTIMISER, RATE, STEPS = "adam", 0.01, 10  # chosen by trial on nine studies: docs/defaults.md
PROGRESS_LIMIT_S = 600


def _fields(making: Making) -> dict[str, Any]:
    given = making.values["training"]
    steps = given["steps"] or 0
    return {
        "steps": steps,
        "epochs": first(given["epochs"], 0 if steps else 1),
        "progress_limit_s": first(given["progress_limit_s"], min(PROGRESS_LIMIT_S, given["time_limit_s"])),
    }


def _words(plan: Plan, means: PlanMeaning) -> list[tuple[str, str]]:
    training = plan.training
    amount, what = (training.epochs, "epoch") if training.epochs else (training.steps, "step")
    work = f"{amount} {what}{'s' if amount > 1 else ''}"
    batch = f"batches of {training.batch}" if training.batch else "the full batch"
    proximal = f", proximal {training.proximal:g}" if training.proximal else ""
    return [("training", f"{training.optimiser} at {training.learning_rate:g}, {work}, {batch}{proximal}")]


def _warnings(plan: Plan, round_s: float) -> list[str]:
    """What the numbers alone tell of rate and clip."""
    training = plan.training
    return advice.of_rate(training.optimiser, training.learning_rate) + advice.of_longest(
        training.optimiser, training.learning_rate, training.steps, plan.parameters, plan.encoding.clip
    )


FORM = Form(
    name="training",
    heading="what a site does for one update",
    before=(
        "How to choose what stands here without #: docs/defaults.md. In short: try it (`wardround simulate --learn`,",
        "`wardround compare`) and follow the words after `look again`. A study that ends before it has",
        "learnt wants three times the rate, then more steps or versions; one that diverges a third of the rate;",
        "clipped updates a larger clip.",
    ),
    keys={
        "optimiser": Key(
            Kind.TEXT,
            "sgd",
            "adam (takes a loss of any scale) or sgd; with fresh state each time",
            written=always(OPTIMISER),
            also=("optimizer", "client_optimizer", "local_optimizer"),
        ),
        "learning_rate": Key(
            Kind.NUMBER, 0.01, written=always(RATE), also=("lr", "eta", "client_lr", "eta_l", "step_size")
        ),
        "momentum": Key(Kind.NUMBER, 0.0, "sgd alone"),
        "weight_decay": Key(Kind.NUMBER, 0.0, also=("l2", "decay")),
        "epochs": Key(Kind.WHOLE, shown=False, also=("local_epochs", "num_epochs", "n_epochs", "max_epochs")),
        "steps": Key(
            Kind.WHOLE,
            comment="batches, the same number at each site; or `epochs`: passes over its patients",
            written=always(STEPS),
            also=("local_steps", "num_steps", "max_steps", "num_updates", "iterations"),
        ),
        "batch": Key(
            Kind.WHOLE, 32, "0: all patients at once", written=always(32), also=("batch_size", "minibatch_size")
        ),
        "proximal": Key(
            Kind.NUMBER,
            0.0,
            "FedProx: holds an update near the version it began from",
            also=("mu", "proximal_mu", "fedprox_mu", "fedproxloss_mu"),
        ),
        "time_limit_s": Key(
            Kind.WHOLE, 3600, "after that, what was reached is the update", also=("timeout", "train_timeout")
        ),
        "progress_limit_s": Key(Kind.WHOLE, comment="a trainer that takes no step for so long is taken for hung"),
    },
    record=Training,
    derive=_fields,
    words=_words,
    warnings=_warnings,
)
