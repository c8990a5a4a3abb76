"""The count that every model must show follows from cohorts alone, and notices one update more or less."""

import numpy as np

from learning.task import DataSource, TrainingSettings
from tests.faults.models import FURTHEST
from tests.faults.result import spread, until_next
from tests.faults.stage import Round
from tests.faults.tally.task import BETA, PARAMETERS, RATE, SITES_MAX, STEP, Tally, site_name, task

COHORT = [(site_name(0), 16), (site_name(3), 8)]


def served(cohorts: list[list[tuple[str, int]]]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """What a server makes of updates as the task trains them, in float32."""
    model = np.zeros(PARAMETERS, np.float32)
    momentum = np.zeros(PARAMETERS, np.float32)
    for cohort in cohorts:
        change = np.zeros(PARAMETERS, np.float32)
        for site, weight in cohort:
            data = task.load(DataSource(site, options={"train-ms": "0"}))
            update = task.train(
                model, data, TrainingSettings(epochs=1), seed=1, progress=lambda _: None, cancelled=lambda: False
            )
            change += update * np.float32(weight / (16 * len(cohort)))
        momentum = np.float32(BETA) * momentum + change
        model = model + np.float32(RATE) * momentum
    return model


def test_a_model_holds_what_its_cohorts_say() -> None:
    tally = Tally()
    for _ in range(3):
        tally.count(COHORT)
    assert tally.furthest(served([COHORT] * 3)) < FURTHEST / 10


def test_one_update_left_out_or_counted_twice_is_noticed() -> None:
    cohort_max = Round(1, 60.0, sites=SITES_MAX).goal
    assert STEP * RATE * 4 / (16 * cohort_max) > FURTHEST  # the lightest update in the largest cohort
    for wrong in ([COHORT[:1]], [[*COHORT, COHORT[1]]]):
        tally = Tally()
        tally.count(COHORT)
        assert tally.furthest(served(wrong)) > FURTHEST


def test_times_to_the_next_version_leave_out_troubles_that_another_one_overtook() -> None:
    assert until_next([1000, 2000, 9000], [500, 2500, 3000]) == [0.5]
    assert until_next([], [500]) == []
    assert spread([0.5, 1.5, 4.0]) == {"count": 3, "median": 1.5, "max": 4.0}
    assert spread([]) == {"count": 0, "median": None, "max": None}
