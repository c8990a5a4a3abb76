"""The annotated plan.toml that `plan init` writes: required keys filled in, every other one shown with its default.

Used by:  wardround.commands.plan, wardround.demo.rehearsal; a test reads every line of it back.
"""

import math
from collections.abc import Sequence

from learning.advice import clip_for

OPTIMISER, RATE, STEPS, VERSIONS = "adam", 0.01, 10, 50  # chosen by trial on nine studies: docs/defaults.md
_TEMPLATE = """\
# The plan of one study: everything its members agree on. Lines with # show the default; take the # away to change it.
# `wardround plan check` says what it means, `wardround plan sign` makes it final.

[study]
id = "{study}"
title = "{study}"
seed = 0                        # version 0 and the order of patients follow from it

[members]
sites = [{sites}]

[task]
entry = "{entry}"     # {parameters:,} parameters, judged by {metric} ({direction} is better)

[task.options]                  # texts that the task understands
# split = "0"

# How to choose what stands here without #: docs/defaults.md. In short: try it (`wardround simulate --learn`,
# `python -m rehearsal.experiment`) and follow the words after `look again`. A study that ends before it has learnt
# wants three times the rate, then more steps or versions; one that diverges a third of the rate; clipped updates a
# larger clip.
[training]                      # what a site does for one update
optimiser = "{optimiser}"              # adam (takes a loss of any scale) or sgd; with fresh state each time
learning_rate = {rate}
# momentum = 0.0                # sgd alone
# weight_decay = 0.0
steps = {steps}                      # batches, the same number at each site; or `epochs`: passes over its patients
batch = 32                      # 0: all patients at once
# proximal = 0.0                # FedProx: holds an update near the version it began from
# time_limit_s = 3600           # after that, what was reached is the update
# progress_limit_s = 600        # a trainer that takes no step for so long is taken for hung

[aggregation]
preset = "fedbuff"              # fedbuff: two thirds of the sites; fedavg: all of them; fedasync: one
# goal = {goal}                      # so many updates close a version
# minimum = {minimum}                   # so many are enough at the deadline
# cohort_min = {minimum}                # never fewer
# cohort_max = {goal}                # never more
# deadline_s = {deadline}            # after the round's start; 0: none
# staleness = "polynomial"      # how a late update weighs: polynomial, hinge, constant
# exponent = 0.5                # polynomial: (1 + versions late) ** -exponent
# slope = 0.5                   # hinge
# late_from = 4                 # hinge
# staleness_max = 64            # later than so many versions: refused
# absence_cap = 1               # above 1: a site long not heard counts up to so many times as much
# server_optimiser = "average"  # average, momentum, adagrad, yogi, adam
# server_lr = 1.0
# beta1 = 0.9
# beta2 = 0.99
# denominator_floor = 0.001     # added to the root that adagrad, yogi and adam divide by
# examples = false              # true: a site weighs by its number of training patients
# examples_max = 1000           # then the largest number of any site

[encoding]
clip = {clip:<5}                    # most an update may be long; longer ones are scaled down
# clip_inf = {clip_inf}                # most one coordinate may be
# scale_bits = {scale_bits}               # fixed point: the largest that cannot overflow

[masking]
# trustees = []                 # masking is not built yet

[noise]
# noise_std = 0.0               # as is noise

[evaluation]
# every = 1                     # each n-th version is tested at each site
# bootstrap = 1000              # resamples for the interval
# alone = true                  # also train without the others, for comparison
# metrics = []                  # what else may leave a site than {metric} and {weight}: names of the task's metrics
# test_min = 5                  # a site with fewer test patients keeps to itself what it measures
# weight_max = 10.0             # where versions are judged, a site weighs at most so many times the one in the middle

[stop]
versions = {versions}
# patience = 0                  # versions without progress; 0: never mind
# target = 0.8                  # enough, in {metric}
# time_s = 0                    # 0: no limit

[storage]
# versions_kept = 10
# audit_days = 30              # how long the broker keeps updates, in every study; no other value is possible yet
# auditors = []                 # members of the roster that may open updates to recompute a version

[data]
# bad_records_max = 0.0         # share of a site's records that may break the data contract and be left out
"""


def plan_of_task(entry: str, *, study: str, sites: Sequence[str]) -> str:
    """The text for a task that can be imported here, after asking it once. Raises LocalError."""
    from learning.blame import authors_code
    from learning.entry import load_task, task_folder

    task = load_task(entry)
    with authors_code("asking the task for its model", task_folder(entry)):
        parameters = task.parameters()
    return plan_template(
        study=study,
        entry=entry,
        sites=sites,
        parameters=parameters,
        metric=task.metric,
        weight=task.weight,
        higher_is_better=task.higher_is_better,
    )


def plan_template(
    *, study: str, entry: str, sites: Sequence[str], parameters: int, metric: str, weight: str, higher_is_better: bool
) -> str:
    """The text; defaults that depend on the task or the number of sites are worked out."""
    from registry.plans.presets import deadline_s, goal_of, minimum_of
    from schemas.plan import largest_scale_bits

    goal = goal_of("fedbuff", len(sites))
    minimum = minimum_of(goal, len(sites))
    clip = max(1.0, clip_for(RATE * STEPS * math.sqrt(parameters) / 2))
    clip_inf = clip if parameters <= 4096 else clip / 8
    scale_bits = largest_scale_bits(cohort_max=goal, bound=clip_inf, noise_std=0.0, trustees=0, modulus_bits=32)
    return _TEMPLATE.format(
        study=study,
        entry=entry,
        sites=", ".join(f'"{site}"' for site in sites),
        parameters=parameters,
        metric=metric,
        weight=weight,
        direction="higher" if higher_is_better else "lower",
        goal=goal,
        minimum=minimum,
        deadline=deadline_s(goal, minimum),
        clip=clip,
        clip_inf=clip_inf,
        optimiser=OPTIMISER,
        rate=RATE,
        steps=STEPS,
        versions=VERSIONS,
        scale_bits=scale_bits,
    )
