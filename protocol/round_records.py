"""What stands on a study's `rounds`, from what was decided: whoever writes there makes the same records.

Knows:    what each record takes over from the chain, from the roster and from the record that it ends.
Never:    decides, signs or writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from protocol.digests import record_digest
from protocol.rounds import RoundsView
from schemas.records import Announcement, BodyAt, Failed, Request, RequestEntry, Stop, Summary


@dataclass(frozen=True, slots=True)
class Ground:
    """What holds while a record is written: the roster, and the epoch whose key opens the model."""

    roster_serial: int
    roster: bytes
    key_epoch: int


class Judged(Protocol):
    """What the coordinator heard of the version before, and what follows from it."""

    @property
    def evaluations(self) -> tuple[tuple[str, bytes], ...]: ...

    @property
    def patience(self) -> int: ...

    @property
    def stop(self) -> Stop: ...

    @property
    def summary(self) -> Summary | None: ...


def first_version(view: RoundsView, ground: Ground, model: BodyAt) -> Announcement:
    """The Announcement of version 0."""
    return _quiet(view, ground, version=0, model=model, state=None, patience=0, stop=Stop.NONE)


def version_again(
    view: RoundsView, ground: Ground, newest: Announcement, stop: Stop, model: BodyAt | None = None
) -> Announcement:
    """The newest version once more: under a new epoch (`model` has its box), or as the last one."""
    return _quiet(
        view, ground, version=newest.version, model=model or newest.model, state=newest.state,
        patience=newest.patience, stop=stop,
    )  # fmt: skip


def request_of(view: RoundsView, ground: Ground, entries: Sequence[RequestEntry], cohort: BodyAt) -> Request:
    """The binding choice of a cohort, from the newest version."""
    return Request(
        study=view.study, index=view.next_index, previous=view.previous, version=view.version, plan=view.plan,
        roster_serial=ground.roster_serial, roster=ground.roster, entries=tuple(entries), cohort=cohort,
        after_refusal=None,
    )  # fmt: skip


def version_of_cohort(
    request: Request, ground: Ground, judged: Judged, *, total: bytes, model: BodyAt, state: BodyAt | None
) -> Announcement:
    """The Announcement that ends a Request. `total`: digest of the cohort's weighted sum."""
    digest = record_digest(request.to_bytes())
    return Announcement(
        study=request.study, index=request.index + 1, previous=digest, version=request.version + 1, plan=request.plan,
        roster_serial=ground.roster_serial, roster=ground.roster, key_epoch=ground.key_epoch, request=digest,
        partial_sums=(), sum=total, n=len(request.entries), sum_w=sum(entry.weight for entry in request.entries),
        model=model, state=state, evaluations=judged.evaluations, patience=judged.patience,
        stop=int(judged.stop), final=judged.stop is not Stop.NONE, summary=judged.summary,
    )  # fmt: skip


def failed_cohort(request: Request, code: str) -> Failed:
    """The end of a Request without a version: the updates of its cohort are void."""
    digest = record_digest(request.to_bytes())
    names = tuple(entry.site for entry in request.entries)
    return Failed(request.study, request.index + 1, digest, digest, code, names)


def _quiet(
    view: RoundsView,
    ground: Ground,
    *,
    version: int,
    model: BodyAt,
    state: BodyAt | None,
    patience: int,
    stop: Stop,
) -> Announcement:
    """An Announcement that no cohort made."""
    return Announcement(
        study=view.study, index=view.next_index, previous=view.previous, version=version, plan=view.plan,
        roster_serial=ground.roster_serial, roster=ground.roster, key_epoch=ground.key_epoch, request=None,
        partial_sums=(), sum=None, n=0, sum_w=0, model=model, state=state, evaluations=(), patience=patience,
        stop=int(stop), final=stop is not Stop.NONE, summary=None,
    )  # fmt: skip
