"""Plans for short histories: few sites, short tables, every rule of gathering and stopping within reach."""

from schemas.plan import (
    Aggregation,
    Clipped,
    DataRule,
    EvaluationRule,
    Masking,
    Noise,
    Plan,
    StopRule,
    Storage,
    TaskSpec,
    Training,
    largest_scale_bits,
)

TABLE = (16, 11, 9, 8)
COHORT_MAX = 10


def plan_of(
    *,
    goal: int = 3,
    minimum: int | None = None,
    floor: int = 1,
    deadline_ms: int = 0,
    versions: int = 6,
    patience: int = 0,
    target: float | None = None,
    time_s: int = 0,
    parameters: int = 100,
    every: int = 1,
    table: tuple[int, ...] = TABLE,
    alone: bool = False,
    server: str = "average",
) -> Plan:
    """A valid plan of a study in which nothing is learnt; `minimum` is the goal where it is not given."""
    least = goal if minimum is None else minimum
    scale_bits = largest_scale_bits(cohort_max=COHORT_MAX, bound=1.0, noise_std=0.0, trustees=0, modulus_bits=32)
    return Plan(
        study="simulated",
        title="A study of nothing",
        sites_expected=COHORT_MAX,
        parameters=parameters,
        seed=0,
        initial=bytes(32),
        task=TaskSpec("simulated:task", bytes(32), ()),
        training=Training("sgd", 0.1, 0.0, 0.0, 1, 0, 32, 0.0, 600, 600),
        aggregation=Aggregation(
            "fedbuff", goal, least, floor, COHORT_MAX, deadline_ms, len(table) - 1, table, None, 0, 1, server, 1.0,
            0.9, 0.99, 1e-3,
        ),
        encoding=Clipped(32, 1.0, 1.0, scale_bits, ()),
        masking=Masking((), 0, None, 60 * 24 * 3600, "aes-256-ctr", "MLKEM768_X25519"),
        noise=Noise(0.0),
        data=DataRule(0.0),
        evaluation=EvaluationRule(every, "accuracy", True, "n-test", 0, alone, ("accuracy", "n-test"), 1, 10.0),
        stop=StopRule(versions, patience, target, time_s),
        storage=Storage(2, 30, ()),
    )  # fmt: skip


PLANS = (
    plan_of(goal=2, versions=6),
    plan_of(goal=1, versions=9),
    plan_of(goal=3, minimum=2, deadline_ms=4_000, versions=7),
    plan_of(goal=3, minimum=2, floor=2, deadline_ms=9_000, versions=6),
    plan_of(goal=4, minimum=1, deadline_ms=2_500, versions=8),
    plan_of(goal=2, versions=12, patience=3),
    plan_of(goal=2, versions=9, target=0.9),
    plan_of(goal=2, versions=50, time_s=60),
    plan_of(goal=2, versions=6, every=3, table=(16,)),
    plan_of(goal=1, versions=9, every=4, table=(16, 4)),
    plan_of(goal=2, versions=9, every=3, alone=True),
    plan_of(goal=2, versions=7, server="adam"),
)
