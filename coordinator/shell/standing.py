"""Taking over: from the log to all that a study runs on, whole or not at all.

Knows:    the order: settle and read the log, give keys, fetch or announce the newest version, read the open cohort.
Never:    writes on top of a log that cannot be trusted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from coordinator.core.bookmark import Marked, remembered
from coordinator.core.closing import OpenRequest
from coordinator.core.events import Evaluated
from coordinator.core.pending import Pending
from coordinator.core.replay import models_in_reach
from coordinator.core.study import StudyCore
from coordinator.shell.bodies import Bodies
from coordinator.shell.bookmarks import Bookmarks
from coordinator.shell.epochs import Epochs
from coordinator.shell.growing import Growing
from coordinator.shell.intake import VerifiedOffer
from coordinator.shell.making import Making, vector_path
from coordinator.shell.obeying import Obeying
from coordinator.shell.offers import OffersReader
from coordinator.shell.publish import Publisher
from coordinator.shell.restore import (
    Restored,
    fetch_cohort,
    fetch_initial,
    fetch_model,
    fetch_state,
    read_progress,
    read_study,
)
from coordinator.shell.rounds import Newest, Rounds
from coordinator.shell.services import Services, now_ms
from coordinator.shell.telling import Telling
from coordinator.shell.trim import Trimmer
from schemas import topics
from schemas.plan import Plan
from schemas.records import Announcement, PlanRecord


@dataclass(frozen=True, slots=True)
class Standing:
    """How a study stands for the coordinator that leads it now.

    remembered  evaluations of the newest version that need not be read
    """

    core: StudyCore
    rounds: Rounds
    obeying: Obeying
    remembered: tuple[Evaluated, ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the study of one leader is made of, before anything of the log was read."""

    services: Services
    plan: Plan
    bookmarks: Bookmarks
    offers: OffersReader
    bodies: Bodies
    trimmer: Trimmer


class TakingOver:
    """One take-over of one study."""

    def __init__(self, parts: Parts, record: PlanRecord) -> None:
        self._parts, self._record = parts, record
        self._services, self._plan = parts.services, parts.plan
        self._folder = parts.services.folder / parts.plan.study
        self._epochs = Epochs(parts.services, parts.plan)
        self._publisher = Publisher(parts.services, parts.plan, self._epochs)

    async def run(self) -> Standing:
        """Raises PeerError when the study's log cannot be trusted; nothing is written then."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for old in self._folder.iterdir():
            old.unlink()
        restored, ends = await read_study(self._services, self._plan), {}
        if restored.view.newest is None:
            ends = await self._parts.offers.ends()
            restored = await read_study(self._services, self._plan)  # if still empty, nothing before the ends counts
        self._services.transactions.watch(restored.watched)
        await self._epochs.restore()
        self._epochs.require(restored.view.newest)
        await self._epochs.ensure(self._services.membership)
        rounds = await self._rounds(restored, ends)
        self._parts.trimmer.restored(restored.replay.firsts)
        await rounds.under_current_key()
        return await self._standing(restored, rounds)

    async def _rounds(self, restored: Restored, ends: Mapping[str, int]) -> Rounds:
        """What is written from now on; version 0 is announced when there is none."""
        newest = restored.view.newest
        vectors = await self._vectors(newest) if newest is not None else await self._initial()
        covered = sorted(restored.covered & restored.receipts.keys())
        parts = self._parts
        rounds = Rounds(
            restored.view,
            vectors,
            Pending(now_ms(), (restored.receipts[site] for site in covered)),
            self._epochs,
            self._publisher,
            Making(self._services, self._plan, self._publisher, self._folder),
            parts.bodies,
            parts.trimmer,
            Telling(self._services.metrics, self._plan),
        )
        if newest is None:
            model = vectors.model
            placed = await self._publisher.model(0, Growing.whole(model.path, model.size_bytes))
            await parts.bookmarks.begin(ends)
            await rounds.announce_one(self._publisher.first(restored.view, placed.at(model)))
        return rounds

    async def _initial(self) -> Newest:
        return Newest(await fetch_initial(self._services, self._plan, self._record, self._path("model", 0)), None)

    async def _vectors(self, newest: Announcement) -> Newest:
        services, plan, version = self._services, self._plan, newest.version
        return Newest(
            await fetch_model(services, plan, self._epochs, newest, self._path("model", version)),
            await fetch_state(services, plan, newest, self._path("state", version)),
        )

    async def _standing(self, restored: Restored, rounds: Rounds) -> Standing:
        newest = restored.view.newest
        assert newest is not None
        bookmark = await self._parts.bookmarks.read(newest.version)
        asked = await self._asked(restored)
        core = await self._core(restored, newest, bookmark, asked)
        following = restored.ends[topics.commands(self._plan.study)]
        obeying = Obeying(self._services, restored.commands, following)
        evaluations = remembered(bookmark, newest.version, newest.model.digest)
        return Standing(core, rounds, obeying, tuple(evaluations))

    async def _asked(self, restored: Restored) -> OpenRequest | None:
        """The cohort of a Request that nothing ended; its bodies are fetched anew."""
        request = restored.view.open_request
        if request is None:
            return None
        offers: list[VerifiedOffer] = await fetch_cohort(self._services, request)
        for offer in offers:
            self._parts.bodies.know(offer)
        return OpenRequest(request.entries, tuple(offer.fact for offer in offers))

    async def _core(
        self, restored: Restored, newest: Announcement, bookmark: Marked | None, asked: OpenRequest | None
    ) -> StudyCore:
        return StudyCore(
            self._plan,
            version=newest.version,
            models=models_in_reach(restored.view, self._plan),
            receipts=restored.receipts.values(),
            progress=await read_progress(self._services, self._plan, restored, bookmark),
            suspicion=restored.replay.suspicion,
            final=newest.final,
            asked=asked,
            now_ms=now_ms(),
        )

    def _path(self, what: str, version: int) -> Path:
        return vector_path(self._folder, what, version)
