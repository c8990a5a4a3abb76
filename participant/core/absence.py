"""What an update weighs beside others: by training patients, or by how seldom its site was heard.

Knows:    the update of a site that counted in every n-th version stands for n versions: weighed by n, up to the plan's
          cap, each site counts alike in the long run.
Source:   Horvitz and Thompson, J Am Stat Assoc 47 (1952) 663-685, the chance of being heard taken from the past; the
          cap: Ionides, J Comput Graph Stat 17 (2008) 295-311.
"""

from schemas.plan import ABSENCE, Plan


def stands_for(base_version: int, counted: int) -> float:
    """For how many versions the next update stands: those there will be by then, to its site's updates in them."""
    return (base_version + 1) / (min(counted, base_version) + 1)


def weights(plan: Plan, *, examples: int, stands_for: float) -> dict[str, float]:
    """The auxiliary coordinates that an update of `examples` training patients carries; empty: all weigh alike."""
    found = {}
    if plan.aggregation.absence_cap > 1:
        found[ABSENCE] = min(stands_for, float(plan.aggregation.absence_cap))
    if plan.aggregation.examples is not None:
        found[plan.aggregation.examples] = min(1.0, examples / plan.aggregation.examples_max)
    return found
