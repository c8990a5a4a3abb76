"""The round that is being ended: from a chosen cohort to what stands on the log of it.

Knows:    nothing changes a cohort once it is chosen: no command, no roster, no other leader.
Never:    chooses; takes offers of other sites along.
"""

from dataclasses import dataclass

from coordinator.core.binding import Binding
from coordinator.core.events import Ask, Close, Effect, Fail, OfferFact
from coordinator.core.measured import Measurements
from coordinator.core.offers import Offers
from coordinator.core.round import Fact, Round, Stage
from coordinator.strategies.stopping import Progress
from schemas.records import RequestEntry


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A Request that nothing ends on the log: its entries, and the offers that its cohort's body holds."""

    entries: tuple[RequestEntry, ...]
    offers: tuple[OfferFact, ...]


class Closing:
    """At most one round of a study at a time. What a method returns has to be done in order."""

    def __init__(self, study: str, offers: Offers, measured: Measurements, *, apart: bool) -> None:
        self._study, self._offers, self._measured, self._apart = study, offers, measured, apart
        self._round: Round | None = None
        self._version = 0  # the one that the round makes
        self._ending: Close | Fail | None = None
        self._progress: Progress = measured.progress  # once it is announced

    @property
    def stage(self) -> Stage | None:
        """How far the round is; None while there is none."""
        return self._round.stage if self._round is not None else None

    def names(self, site: str) -> bool:
        """Whether the round's cohort has an update of the site."""
        return self._round is not None and site in self._round.sites

    def resume(self, asked: OpenRequest, version: int) -> None:
        """Go on with what a predecessor has asked for."""
        self._round, self._version = Round(asked.entries, Stage.ASKED), version
        for offer in asked.offers:
            self._offers.asked(offer)

    def begin(self, entries: tuple[RequestEntry, ...], version: int) -> list[Effect]:
        """This cohort makes `version`; all of it is in the sum, and nobody else."""
        self._round, self._version = Round(entries), version
        if self._apart:
            return [Ask(self._binding(entries).cohort)]
        self.moved(Fact.ASKED)
        return self.finish()

    def finish(self) -> list[Effect]:
        """What is missing of the sum; once nothing is, the end."""
        one = self._round
        if one is None or one.stage is not Stage.ASKED or one.wrong is not None:
            return []
        binding = self._binding(one.entries)
        effects, whole = binding.complete()
        if not whole:
            return effects
        self.moved(Fact.SUMMED)
        verdict = self._measured.verdict(self._version)
        self._progress = verdict.progress
        self._ending = Close(
            binding.cohort,
            binding.counted(),
            verdict.evaluations,
            verdict.progress.patience,
            verdict.stop,
            verdict.summary,
        )
        return [*effects, self._ending]

    def spoil(self, code: str) -> list[Effect]:
        """The round has to fail; it does so once."""
        assert self._round is not None
        if self._round.wrong is not None:
            return []
        self._round = self._round.spoiled(code)
        binding = self._binding(self._round.entries)
        self._ending = Fail(binding.cohort, binding.voids(), code)
        return [self._ending]

    def moved(self, fact: Fact) -> None:
        assert self._round is not None
        self._round = self._round.after(fact)

    def announced(self, version: int) -> Close:
        """The version is on the log: what the round was closed with, over now."""
        closed = self._ending
        assert isinstance(closed, Close)
        assert closed.version == version
        self._end(Fact.ANNOUNCED)
        self._measured.announced(self._progress)
        return closed

    def failed(self) -> Fail:
        """The failure is on the log: what the round failed with, over now."""
        failed = self._ending
        assert isinstance(failed, Fail)
        self._end(Fact.FAILED)
        return failed

    def _end(self, fact: Fact) -> None:
        self.moved(fact)
        self._round = self._ending = None

    def _binding(self, entries: tuple[RequestEntry, ...]) -> Binding:
        return Binding(self._study, self._version, entries, self._offers)
