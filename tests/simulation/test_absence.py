"""A hospital that is seldom reached pulls the model less; with absence_cap nearly as much as the others."""

from dataclasses import replace

import numpy as np

from registry.plans.presets import absence_step
from schemas.plan import ABSENCE, Plan
from simulation.plans import plan_of
from simulation.records import Floats
from simulation.vectors import Learner
from simulation.world import World
from tests.simulation.sites import sites_of

MINUTE_MS = 60_000
WANTED = {"site-0": 0.0, "site-1": 0.0, "site-2": 0.9}
FAIR = 0.3  # the mean of what they want
SELDOM = tuple((at * MINUTE_MS, at * MINUTE_MS + 8_000) for at in range(600))  # eight seconds a minute


def weighing(plan: Plan, cap: int) -> Plan:
    """With the server's rate as a plan's text would have it."""
    rule = plan.aggregation
    lr = absence_step(rule.server_optimiser, cap, rule.goal, sites=3)
    encoding = replace(plan.encoding, auxiliary=((ABSENCE, float(cap), 16),))
    return replace(plan, encoding=encoding, aggregation=replace(rule, server_lr=lr, absence_cap=cap))


def settles_at(plan: Plan) -> float:
    """Where the model lies in the mean of its last 300 versions."""

    def train(site: str, base: Floats) -> Floats:
        return np.full_like(base, 0.05 * (WANTED[site] - float(base[0])) / len(base) ** 0.5)

    scaled = Learner(np.zeros(plan.parameters, np.float32), train)
    sites = [replace(spec, windows=SELDOM if spec.name == "site-2" else None) for spec in sites_of(3)]
    world, seen = World(plan, sites, seed=1, learner=scaled), []
    for version in range(1, 601):
        world.run(until_version=version)
        model = world.model()
        assert model is not None
        assert model.vector is not None
        seen.append(float(model.vector[0]))
    return float(np.mean(seen[300:]))


def test_absence_bends_the_model_and_the_cap_bends_it_back() -> None:
    plan = plan_of(goal=2, versions=1000)
    plain, weighed = settles_at(plan), settles_at(weighing(plan, 16))
    assert plain < 0.6 * FAIR
    assert abs(weighed - FAIR) < 0.5 * abs(plain - FAIR)
