"""How often each site is heard beside how often it could be: its share of the model against its presence, and why.

Knows:    what the log tells of each site: when it was there, what it did, what was counted or refused, what failed.
Never:    guesses: where the log does not tell a reason, it says where to look.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from audit.history import PRESENCE_PERIOD_S, Counted, SiteHistory, Span, StudyHistory, Version
from schemas.records import Outcome, SiteState, Trouble

EXPECTED_MIN = 6.0  # updates that presence would have given: with fewer, chance alone halves a share
FAR = 0.5  # of the share by presence: below it people have to know
MOST = 0.5  # of its time that a site spends on one thing, to be called the reason

_TROUBLES = {
    Trouble.TRAINER: "its trainer was lost {count} times since its service began",
    Trouble.FETCH: "fetching the newest version failed {count} times in a row",
    Trouble.EVALUATE: "measuring versions failed {count} times in a row",
    Trouble.TRAIN: "training failed {count} times in a row",
    Trouble.SEAL: "storing a finished update failed {count} times in a row: is its disk full?",
    Trouble.SEND: "sending a finished update failed {count} times in a row",
    Trouble.REFUSED: "its updates were refused or void {count} times in a row",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """One site in one study.

    counted      versions it was counted in
    share        its effective share of the model, of 1
    presence     share of the versions that were made while it showed signs of life
    by_presence  the share that its presence alone would give it, all else being equal
    warning      why the share is far below that; None where it is not, or too little was counted to tell

    An examples weight or `absence_cap` is inside the sealed update: shares are those of counted updates by staleness.
    """

    site: str
    counted: int
    share: float
    presence: float
    by_presence: float
    warning: str | None


def failing(site: SiteHistory) -> str | None:
    """What fails at a site by its newest presence, in words; None when nothing does."""
    told = [_TROUBLES[what].format(count=count) for what, count in sorted(site.troubles.items())]
    ends = not site.states or site.states[-1][1] is not SiteState.FAILING
    return None if ends else "; ".join(told) or "it does not tell what"


def standings(history: StudyHistory, now_ms: int, period_s: float = PRESENCE_PERIOD_S) -> list[Standing]:
    """Every site, by name. `period_s` is that of the sites' presence."""
    end = history.ended_ms or now_ms
    shares = history.effective_shares()
    spans = {name: list(site.spans(end, period_s)) for name, site in history.sites.items()}
    made = [version.at_ms for version in history.versions.values() if version.number]
    presence = {name: _there(found, made) for name, found in spans.items()}
    total = sum(presence.values()) or 1.0
    found = []
    for name, site in sorted(history.sites.items()):
        by_presence = presence[name] / total
        far = shares[name] < FAR * by_presence and by_presence * history.counted >= EXPECTED_MIN
        excluded = name in history.orders.excluded
        said = (
            _warning(history, site, shares[name], by_presence, _times(spans[name], history.started_ms or end))
            if far and not excluded
            else None
        )
        counted = sum(decision.outcome is Outcome.COUNTED for decision in site.decisions.values())
        found.append(Standing(name, counted, shares[name], presence[name], by_presence, said))
    return found


def _there(spans: Sequence[Span], made_ms: Sequence[int]) -> float:
    """The share of versions, by when they were made, that a site was there for."""
    starts = [span.start_ms for span in spans]
    at = [bisect_right(starts, at_ms) - 1 for at_ms in made_ms]
    met = sum(place >= 0 and spans[place].state is not None for place in at)
    return met / max(1, len(made_ms))


def _times(spans: Sequence[Span], begin_ms: int) -> dict[SiteState, int]:
    """Milliseconds in each state since `begin_ms`; without a sign of life, in none."""
    spent: dict[SiteState, int] = {}
    for span in spans:
        if span.state is not None and span.end_ms > begin_ms:
            spent[span.state] = spent.get(span.state, 0) + span.end_ms - max(begin_ms, span.start_ms)
    return spent


def _warning(
    history: StudyHistory, site: SiteHistory, share: float, by_presence: float, spent: dict[SiteState, int]
) -> str:
    why = "; ".join(_reasons(history, site, spent)) or "the log does not tell why: see the participant's log"
    return f"{share:.0%} of the model, by its presence it would be {by_presence:.0%}: {why}"


def _reasons(history: StudyHistory, site: SiteHistory, spent: dict[SiteState, int]) -> Iterator[str]:
    stale = sum(decision.code == "stale" for decision in site.decisions.values())
    refused = sum(decision.outcome in (Outcome.REFUSED, Outcome.VOID) for decision in site.decisions.values()) - stale
    there = max(1, sum(spent.values()))
    for what, count in sorted(site.troubles.items()):
        yield _TROUBLES[what].format(count=count)
    if not site.offers and not site.decisions:
        yield "it has offered nothing"
    if stale:
        yield f"{stale} of its updates came too late (stale)"
    if refused:
        yield f"{refused} of its updates were refused for other reasons"
    if spent.get(SiteState.SENDING, 0) + spent.get(SiteState.FETCHING, 0) > MOST * there:
        yield "it spends most of its time fetching and sending: a slow link"
    if spent.get(SiteState.TRAINING, 0) > MOST * there:
        yield "it spends most of its time training"
    if spent.get(SiteState.LOADING, 0) > MOST * there:
        yield "it spends most of its time loading task and data"
    if spent.get(SiteState.PAUSED, 0) > MOST * there:
        yield "it was paused or held most of the time"
    late = [found for found in (history.staleness(*one) for one in _counted(history, site)) if found is not None]
    if late and sum(late) / len(late) >= 1:
        yield f"what was counted was {sum(late) / len(late):.1f} versions behind in the mean, which weighs less"


def _counted(history: StudyHistory, site: SiteHistory) -> Iterator[tuple[Version, Counted]]:
    for version in history.versions.values():
        for update in version.cohort:
            if update.site == site.name:
                yield version, update
