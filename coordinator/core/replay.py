"""What the records of `rounds` say to a successor, taken one by one: chain, suspicion, evaluations, versions kept.

Never:    reads a topic or verifies a signature; keeps more of a long study than the chain's digests and what its stop
          rule looks at.
"""

from collections import deque
from dataclasses import dataclass, field

from coordinator.core.bookmark import Listed
from coordinator.strategies.suspicion import SUSPECTED_AFTER, Suspicion
from protocol.rounds import RoundsRecord, RoundsView
from schemas.plan import Plan
from schemas.records import Announcement, BodyAt, Failed, Request, RequestEntry


def first_offset(announcement: Announcement, request: Request | None) -> int:
    """The first record of `models` that stays with a version: the body that the version before it needs does."""
    bodies: list[BodyAt | None] = [announcement.model, announcement.state, request.cohort if request else None]
    return min(run[0] for body in bodies if body is not None for run in body.body.runs)


def models_in_reach(view: RoundsView, plan: Plan) -> dict[int, bytes]:
    """The model digest of each version from which an update may still come."""
    reach = range(max(0, view.version - plan.aggregation.staleness_max), view.version + 1)
    return {version: digest for version in reach if (digest := view.model_digest(version)) is not None}


@dataclass(slots=True)
class Replay:
    """A study's decision log as far as it was taken.

    firsts       `first_offset` of the newest versions that are kept, in order
    counted      the updates that are in the newest version
    evaluations  what each version's Announcement lists, in a plan that stops by patience
    """

    view: RoundsView
    firsts: deque[int]
    is_patient: bool
    suspicion: Suspicion = field(default_factory=Suspicion)
    counted: tuple[RequestEntry, ...] = ()
    evaluations: list[Listed] = field(default_factory=list)

    @classmethod
    def of(cls, plan: Plan) -> "Replay":
        """Before the first record."""
        view = RoundsView(plan.study, plan.digest, trustees=len(plan.masking.trustees))
        return cls(view, deque(maxlen=plan.storage.versions_kept), bool(plan.stop.patience))

    def take(self, record: RoundsRecord) -> None:
        """The next verified record; one that was taken before changes nothing. Raises PeerError as RoundsView does."""
        asked, before = self.view.open_request, self.view.version
        if not self.view.add(record):
            return
        if isinstance(record, Announcement):
            self._announced(record, asked, new=record.version > before)
        elif isinstance(record, Failed) and record.code in SUSPECTED_AFTER and asked is not None:
            self.suspicion = self.suspicion.after_failed(entry.site for entry in asked.entries)

    def _announced(self, record: Announcement, asked: Request | None, *, new: bool) -> None:
        if new:
            self.firsts.append(first_offset(record, asked))
        if self.is_patient:
            self.evaluations.append((record.version, record.evaluations))
        if asked is not None:
            self.counted = asked.entries
            self.suspicion = self.suspicion.after_counted([entry.site for entry in asked.entries])
