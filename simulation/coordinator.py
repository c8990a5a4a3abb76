"""A simulated coordinator: leads or stands by, rebuilds a study from the log, ends when another one leads.

Knows:    the order of taking over: fence, read the log to its ends, fetch the model, read offers on from receipts and
          bookmark.
Source:   coordinator/app.py, coordinator/shell/standing.py and restore.py, which it stands for.
"""

from dataclasses import dataclass, replace

from coordinator.core.bookmark import Marked, progress_after, wanted
from coordinator.core.closing import OpenRequest
from coordinator.core.offers import NOWHERE
from coordinator.core.replay import Replay, models_in_reach
from coordinator.core.study import StudyCore
from coordinator.strategies.stopping import Progress
from protocol.rounds import RoundsView
from schemas.records import Receipt, Request
from simulation.election import Election
from simulation.lead import Lead, Leader
from simulation.leading import StudyRun
from simulation.link import Link
from simulation.publish import Publisher
from simulation.records import BOOKMARK_KEY, Chosen, Model, SentEvaluation, SentOffer
from simulation.scene import Scene
from simulation.transactions import Transactions
from simulation.written import bookmark_of, receipts_of, rounds_of


class Coordinator(Leader):
    """One coordinator process. `run` is the study while it leads, None while it stands by or takes over."""

    def __init__(self, scene: Scene, election: Election, name: str, link: Link) -> None:
        super().__init__(scene, name, link)
        self._election = election
        self.run: StudyRun | None = None
        self.leads = False

    def runs(self, lead: Lead) -> bool:
        return self.run is lead

    def born(self) -> None:
        self.run, self.leads = None, False
        self._election.joined(self)

    def died(self) -> None:
        self.run, self.leads = None, False
        self._election.left(self)

    def lead(self) -> None:
        """This process was elected."""
        if self.leads:
            return
        self.leads = True
        self.roster = self.scene.roster
        publisher = Publisher(self, Transactions(self))
        self.clock.at(self._after_reading(0), self, self._settle, publisher)

    def stand_by(self) -> None:
        """Another one leads, and this process heard of it: it stops the study, forgets it, and waits for its turn."""
        self.run, self.leads = None, False
        self.life += 1
        self.clock.after(1, self, self._election.joined, self)

    def offered(self, site: str) -> None:
        """There is a record more on the offers topic of `site`."""
        if self.run is not None:
            self.run.reader.wake(site)

    def commanded(self) -> None:
        if self.run is not None:
            self.run.commanded()

    def membership_changed(self) -> None:
        if self.run is not None:
            self.run.members_changed()

    def _after_reading(self, size_bytes: int) -> int:
        return self.link.fetched_ms(self.clock.now_ms + self.scene.costs.restore_ms, size_bytes)

    def _settle(self, publisher: Publisher) -> None:
        publisher.transactions.settle(lambda: self._read_log(publisher))

    def _read_log(self, publisher: Publisher) -> None:
        """`rounds` and `receipts` to their ends: nobody else can write there any more."""
        log, plan = self.scene.log, self.scene.plan
        found = Found(publisher, Replay.of(plan), receipts_of(log), self._ends())
        for one in rounds_of(log.rounds.read(0)[0]):
            found.replay.take(one.record if isinstance(one, Chosen) else one)
        publisher.read_keys()
        publisher.ensure_keys(lambda: self._fetch_model(found))

    def _fetch_model(self, found: "Found") -> None:
        then = self._begin if found.view.newest is None else self._resume
        self.clock.at(self._after_reading(4 * self.scene.plan.parameters), self, then, found)

    def _ends(self) -> dict[str, int]:
        """Where the sites' topics end, before the log is read: what it does not know yet nobody can have offered."""
        return {site: self.scene.log.offers[site].end for site in self.scene.members()}

    def _asked(self, request: Request | None) -> tuple[SentOffer, ...]:
        """The offers of a Request that nothing ends, out of its cohort's body: that does not say where they lie."""
        if request is None:
            return ()
        offers = self.scene.log.cohorts[request.cohort.digest]
        return tuple(replace(offer, fact=replace(offer.fact, offset=NOWHERE)) for offer in offers)

    def _begin(self, found: "Found") -> None:
        """Nothing is on the log yet: announce version 0."""
        model, plan = self.scene.vectors.first(), self.scene.plan
        bookmark = Marked(plan.study, self.scene.plan_digest, 0, tuple(sorted(found.ends.items())))
        self.scene.log.bookmark.append(bookmark, BOOKMARK_KEY)
        self.scene.story.bookmarked(bookmark)
        announcement = found.publisher.first(found.view, found.publisher.model(model))

        def then() -> None:
            found.view.add(announcement)
            self._run(found, model, Progress(), bookmark)

        found.publisher.commit([announcement], [], then)

    def _resume(self, found: "Found") -> None:
        newest = found.view.newest
        assert newest is not None
        model = self.scene.log.model(newest.model)
        assert model is not None, "the newest model is never trimmed"
        first = self.scene.vectors.first()
        state = self.scene.log.state(newest.state) if newest.state is not None else first
        assert state is not None, "nor is the state beside it"
        model = replace(model, state=state.state, moments=state.moments)
        bookmark = bookmark_of(self.scene.log)
        self._run(found, model, self._progress(found.replay, bookmark), bookmark)

    def _progress(self, replay: Replay, bookmark: Marked | None) -> Progress:
        """Best value and patience, from the bookmark and the evaluations that Announcements list since."""
        if not self.scene.plan.stop.patience:
            return Progress()
        listed, newest = replay.evaluations, replay.view.newest
        missing, positions = wanted(bookmark, listed), dict(bookmark.positions) if bookmark is not None else {}
        found = {
            entry.value.fact.digest: (entry.value.fact.value, entry.value.fact.weight)
            for site, topic in self.scene.log.offers.items()
            for entry in topic.read(positions.get(site, 0))[0]
            if isinstance(entry.value, SentEvaluation) and entry.value.fact.digest in missing
        }
        progress = progress_after(bookmark, listed, found, self.scene.plan)
        return replace(progress, patience=newest.patience if newest is not None else 0)

    def _run(self, found: "Found", model: Model, progress: Progress, bookmark: Marked | None) -> None:
        view, newest = found.view, found.view.newest
        assert newest is not None
        request, asked = view.open_request, self._asked(view.open_request)
        core = StudyCore(
            self.scene.plan,
            version=newest.version,
            models=models_in_reach(view, self.scene.plan),
            receipts=found.receipts.values(),
            progress=progress,
            suspicion=found.replay.suspicion,
            final=newest.final,
            asked=OpenRequest(request.entries, tuple(offer.fact for offer in asked)) if request is not None else None,
            apart=self.scene.asks_apart,
            now_ms=self.now_ms(),
        )
        self.run = StudyRun(self, core, view, model, found.publisher, bookmark, found.replay.firsts, asked)
        self.run.begin()


@dataclass(frozen=True, slots=True)
class Found:
    """What a successor reads of a study."""

    publisher: Publisher
    replay: Replay
    receipts: dict[str, Receipt]
    ends: dict[str, int]

    @property
    def view(self) -> RoundsView:
        return self.replay.view
