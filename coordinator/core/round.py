"""The coordinator's round: from a chosen cohort to the version that it makes, or to its failure.

Knows:    a Request binds: from then on the cohort, its weights and so the version are fixed, whoever leads.
          Where a plan names trustees it is on the log before anybody is asked, and a successor finishes exactly that
          round. Elsewhere Request and end are one transaction, and a crash before it leaves nothing behind.
Never:    chooses, adds, writes.
Source:   docs/decisions/0049. The table is drawn in docs/states.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from schemas.plan import Plan
from schemas.records import RequestEntry


class Stage(Enum):
    """How far a round is."""

    CHOSEN = "the cohort is chosen, the log does not say so"
    ASKED = "the Request binds: it is on the log, or goes there with what ends it"
    SUMMED = "the sum of exactly this cohort is there"
    STEPPED = "the next version is made, its bodies are on the log"
    ANNOUNCED = "the Announcement is on the log, with the receipts: the updates count"
    FAILED = "Failed is on the log, with the receipts: the updates are void"


class Fact(Enum):
    """What moves a round on."""

    ASKED = "the Request is on the log, or need not be there alone"
    SUMMED = "every update of the cohort is in the sum, and no other"
    STEPPED = "the step is made, and what it made is uploaded"
    ANNOUNCED = "the transaction with the Announcement is committed"
    FAILED = "the transaction with Failed is committed"


TABLE: Mapping[tuple[Stage, Fact], Stage] = {
    (Stage.CHOSEN, Fact.ASKED): Stage.ASKED,
    (Stage.ASKED, Fact.SUMMED): Stage.SUMMED,
    (Stage.ASKED, Fact.FAILED): Stage.FAILED,
    (Stage.SUMMED, Fact.STEPPED): Stage.STEPPED,
    (Stage.SUMMED, Fact.FAILED): Stage.FAILED,
    (Stage.STEPPED, Fact.ANNOUNCED): Stage.ANNOUNCED,
}
ENDED = frozenset({Stage.ANNOUNCED, Stage.FAILED})


def asks_apart(plan: Plan) -> bool:
    """Whether the Request is committed before its end: trustees answer what stands on the log."""
    return bool(plan.masking.trustees)


@dataclass(frozen=True, slots=True)
class Round:
    """`entries` are the cohort, in the order of their sites; `wrong` is why it has to fail, once it has to."""

    entries: tuple[RequestEntry, ...]
    stage: Stage = Stage.CHOSEN
    wrong: str | None = None

    def after(self, fact: Fact) -> "Round":
        """Raises ValueError for a fact that cannot come now: a mistake of ours, not a peer's."""
        following = TABLE.get((self.stage, fact))
        if following is None:
            raise ValueError(f"a round that is {self.stage.name} cannot hear of {fact.name}")
        return replace(self, stage=following)

    def spoiled(self, code: str) -> "Round":
        """It has to fail, and its Failed is not on the log yet."""
        return replace(self, wrong=self.wrong or code)

    @property
    def sites(self) -> tuple[str, ...]:
        return tuple(entry.site for entry in self.entries)
