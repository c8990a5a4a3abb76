"""What an update weighs beside others: by training patients, or by how long its site was not heard.

Knows:    the version that an update of this site last counted in. The update of a site heard in every n-th version
          stands for n versions, so weighing it by n (up to the plan's cap) lets each site count alike in the long run.
Source:   inverse propensity weights with a cap (Ionides, J Comput Graph Stat 17 (2008) 295-311); the time since the
          last participation as their estimate: FedAWE, arXiv 2409.17446, "adaptive innovation echoing".
Used by:  participant.core.study, participant.shell.outgoing, simulation.
"""

from schemas.plan import ABSENCE, Plan
from schemas.records import Outcome, Receipt


def counted_in(receipt: Receipt) -> int:
    """The newest version that the receipt says an update of this site counted in; 0: none."""
    versions = [one.version for one in receipt.recent if one.outcome == Outcome.COUNTED]
    if receipt.outcome == Outcome.COUNTED:
        versions.append(receipt.version)
    return max((version for version in versions if version is not None), default=0)


def missed(base_version: int, counted: int) -> int:
    """For how many versions the next update of this site stands: those since one counted, the next one included."""
    return max(1, base_version + 1 - counted)


def weights(plan: Plan, *, examples: int, missed: int) -> dict[str, float]:
    """The auxiliary coordinate that an update of `examples` training patients carries, 0..1; empty: all weigh alike."""
    name, most = plan.privacy.examples, plan.privacy.examples_max
    if name is None:
        return {}
    return {name: min(1.0, (missed if name == ABSENCE else examples) / most)}
