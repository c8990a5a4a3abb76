"""What happened in one study: a value that grows as verified records are fed to it, for display, report and notebooks.

Knows:    versions and their cohorts, what became of every offer, what sites measured, when they showed themselves.
Never:    verifies (audit.federation does), reads a topic, a file or a clock: times are the log's append times.
"""

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from protocol.judging import capped
from protocol.orders import Orders
from schemas.plan import Plan
from schemas.records import (
    Announcement,
    Command,
    Decided,
    Failed,
    Header,
    Offer,
    OpenEvaluation,
    Outcome,
    Presence,
    Receipt,
    Request,
    SiteState,
    Stop,
    Summary,
    Trouble,
)

PRESENCE_PERIOD_S = 300.0
OVERTAKEN = "overtaken"  # decided, but so long ago that the receipt no longer says how
MICRO = 1_000_000
_FINAL = (Outcome.COUNTED, Outcome.REFUSED, Outcome.VOID)


@dataclass(frozen=True, slots=True)
class Told:
    """A site's Evaluation as whoever looks can read it: values by name, None where they are sealed to others."""

    study: str
    site: str
    version: int
    values: Mapping[str, float] | None


StudyRecord = Announcement | Request | Failed | Receipt | Offer | Presence | OpenEvaluation | Told


@dataclass(frozen=True, slots=True)
class Counted:
    """One update in a version; `weight` in 16ths."""

    site: str
    sequence: int
    weight: int


@dataclass(frozen=True, slots=True)
class Version:
    """One announced version; version 0 has no cohort. `model` is its body digest."""

    number: int
    at_ms: int
    model: bytes
    cohort: tuple[Counted, ...]
    patience: int


@dataclass(frozen=True, slots=True)
class OfferSeen:
    """One update as its site offered it. `size_bytes` is the body's, without seals and record headers."""

    sequence: int
    base_version: int
    at_ms: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Decision:
    """The coordinator's answer to one offer. `version` is the one it was counted into."""

    outcome: Outcome
    code: str | None
    version: int | None
    weight: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Commanded:
    """An operator's command that holds."""

    at_ms: int
    operator: str
    command: Command


@dataclass(frozen=True, slots=True)
class Span:
    """What a site was doing from `start_ms` to `end_ms`; state None: no sign of life."""

    start_ms: int
    end_ms: int
    state: SiteState | None


@dataclass(slots=True)
class SiteHistory:
    """Everything the log tells about one site in one study."""

    name: str
    institution: str = ""
    enrolled: bool = True  # whether the newest roster lists it as a site of the study
    offers: dict[int, OfferSeen] = field(default_factory=dict)
    decisions: dict[int, Decision] = field(default_factory=dict)
    evaluations: dict[int, Mapping[str, float]] = field(default_factory=dict)  # by version, metric -> value
    states: list[tuple[int, SiteState]] = field(default_factory=list)  # (at_ms, state) as presence told it
    troubles: dict[Trouble, int] = field(default_factory=dict)  # what its newest presence says of failures
    seen_ms: list[int] = field(default_factory=list)  # append times of everything it sent, rising
    _rising: list[int] = field(default_factory=list, init=False, repr=False)  # the versions in `evaluations`
    decided: int = -1  # highest sequence with a final receipt, which decides every lower one too

    def metric(self, version: int, name: str) -> float | None:
        return self.evaluations.get(version, {}).get(name)

    def measured(self, version: int, values: Mapping[str, float]) -> None:
        if version not in self.evaluations:
            insort(self._rising, version)
        self.evaluations[version] = values

    def judged(self, name: str, until: int | None = None) -> int | None:
        """The newest version, up to `until`, of which it told metric `name`: at once, where the last ones have it."""
        end = len(self._rising) if until is None else bisect_right(self._rising, until)
        versions = (self._rising[place] for place in range(end - 1, -1, -1))
        return next((version for version in versions if name in self.evaluations.get(version, ())), None)

    def newest(self, name: str, until: int | None = None) -> float | None:
        """The value of metric `name` in that evaluation."""
        version = self.judged(name, until)
        return None if version is None else self.evaluations[version][name]

    @property
    def bytes_up(self) -> int:
        """Bytes it says it sent so far; at least the bodies of its offers."""
        return max(round(self.newest("bytes-up") or 0), sum(offer.size_bytes for offer in self.offers.values()))

    @property
    def bytes_down(self) -> int:
        return round(self.newest("bytes-down") or 0)

    @property
    def bytes_data(self) -> int | None:
        """Size of its raw data, as it says: what central learning would have moved."""
        value = self.newest("bytes-data")
        return None if value is None else round(value)

    @property
    def train_seconds(self) -> float:
        return self.newest("train-seconds") or 0.0

    @property
    def last(self) -> tuple[int, Decision] | None:
        """Its newest decided offer: (sequence, decision)."""
        return max(self.decisions.items(), default=None, key=lambda item: item[0])

    def state(self, now_ms: int, period_s: float = PRESENCE_PERIOD_S) -> SiteState | None:
        """What it was doing last; None: away, that is two presence periods without a sign."""
        if not self.seen_ms or now_ms - self.seen_ms[-1] > 2000 * period_s:
            return None
        return self.states[-1][1] if self.states else SiteState.IDLE

    def spans(self, end_ms: int, period_s: float = PRESENCE_PERIOD_S) -> Iterator[Span]:
        """Its time line from the first sign to `end_ms`, without gaps; equal neighbours are one span."""
        moments = sorted([*((at, None) for at in self.seen_ms), *self.states], key=lambda item: item[0])
        if not moments:
            return
        state, start = SiteState.IDLE, moments[0][0]
        for (at, told), following in zip(moments, [*(at for at, _ in moments[1:]), end_ms], strict=True):
            if told is not None and told != state:
                if at > start:
                    yield Span(start, at, state)
                state, start = told, at
            if following - at > 2000 * period_s:
                if at > start:
                    yield Span(start, at, state)
                yield Span(at, following, None)
                start = following
        if end_ms > start:
            yield Span(start, end_ms, state)


class StudyHistory:
    """Grows by `feed`, topic by topic in the log's order; everything else only reads. Any order between topics does."""

    def __init__(self, plan: Plan, plan_digest: bytes, sites: Mapping[str, str] | None = None) -> None:
        """`sites` names the study's sites and their institutions; sites met on the log are added."""
        self.study, self.plan, self.plan_digest = plan.study, plan, plan_digest
        self.versions: dict[int, Version] = {}
        self.failed: list[Failed] = []
        self.stop, self.final = Stop.NONE, False
        self.ended_ms: int | None = None
        self.sites: dict[str, SiteHistory] = {}
        self.commands: list[Commanded] = []  # those that hold now, their serials rising
        self.commands_void = 0  # records of the topic that do not hold: by no operator, or by a key that is revoked now
        self.left_out: Counter[str] = Counter()  # by topic: records that nobody can believe
        self.sealed = False  # whether sites told measurements that are sealed to others than who looks
        self.summaries: dict[int, Summary] = {}  # by version, as the coordinator announced them to everybody
        self.missing: tuple[str, ...] = ()  # topics that the broker has not: what stood there is not told here
        self.forbidden: tuple[str, ...] = ()  # those of them that this client has no right to read
        self._request: Request | None = None
        self._index = -1
        for name, institution in sorted((sites or {}).items()):
            self.site(name).institution = institution

    def site(self, name: str) -> SiteHistory:
        return self.sites.setdefault(name, SiteHistory(name))

    def feed(self, record: StudyRecord, at_ms: int, since_ms: int | None = None) -> None:
        """Take one verified record, appended to the log at `at_ms`."""
        if isinstance(record, Announcement | Request | Failed):
            if record.index > self._index:
                self._index = record.index
                self._round(record, at_ms)
        elif isinstance(record, Receipt):
            self._receipt(record, at_ms)
        elif isinstance(record, Offer):
            self._offer(record, at_ms)
        elif isinstance(record, Presence):
            self._presence(record, at_ms, since_ms)
        elif record.study == self.study:
            self._told(record, at_ms)

    def _told(self, record: OpenEvaluation | Told, at_ms: int) -> None:
        if isinstance(record, OpenEvaluation):
            values: Mapping[str, float] = {name: value / MICRO for name, value in record.values}
        else:
            self.sealed = self.sealed or record.values is None
            values = record.values or {}
        self._seen(record.site, at_ms).measured(record.version, values)

    def _round(self, record: Announcement | Request | Failed, at_ms: int) -> None:
        if isinstance(record, Request):
            self._request = record
            return
        request, self._request = self._request, None
        if isinstance(record, Failed):
            self.failed.append(record)
            return
        if record.version not in self.versions:
            cohort = tuple(Counted(one.site, one.sequence, one.weight) for one in request.entries) if request else ()
            self.versions[record.version] = Version(record.version, at_ms, record.model.digest, cohort, record.patience)
            for update in cohort:
                counted = Decision(Outcome.COUNTED, None, record.version, update.weight, at_ms)
                self.site(update.site).decisions[update.sequence] = counted
        if record.summary is not None:
            self.summaries[record.version - 1] = record.summary
        if record.final and not self.final:
            self.stop, self.final, self.ended_ms = Stop(record.stop), True, at_ms

    def _receipt(self, record: Receipt, at_ms: int) -> None:
        site = self.site(record.site)
        self._decide(site, record, at_ms)
        for one in record.recent:
            self._decide(site, one, at_ms)
        if record.outcome in _FINAL:
            site.decided = max(site.decided, record.sequence)
            for sequence in site.offers:
                self._overtake(site, sequence, at_ms)

    def _overtake(self, site: SiteHistory, sequence: int, at_ms: int) -> None:
        if sequence < site.decided and sequence not in site.decisions:
            site.decisions[sequence] = Decision(Outcome.REFUSED, OVERTAKEN, None, 0, at_ms)

    def _decide(self, site: SiteHistory, one: Receipt | Decided, at_ms: int) -> None:
        known = site.decisions.get(one.sequence)
        if known is None or known.outcome not in _FINAL or known.code == OVERTAKEN:
            outcome = Outcome(one.outcome)
            site.decisions[one.sequence] = Decision(outcome, one.code, one.version, one.weight, at_ms)

    def _offer(self, record: Offer, at_ms: int) -> None:
        header = Header.from_bytes(record.header)
        site = self._seen(header.site, at_ms)
        if header.study == self.study and header.sequence not in site.offers:
            seen = OfferSeen(header.sequence, header.base_version, at_ms, record.body.size_bytes)
            site.offers[header.sequence] = seen
            self._overtake(site, header.sequence, at_ms)

    def _presence(self, record: Presence, at_ms: int, since_ms: int | None) -> None:
        states = dict(record.states)
        if self.study in states or record.site in self.sites:
            if since_ms is not None:
                self._there(record.site, since_ms, at_ms)
            site = self._seen(record.site, at_ms)
            if self.study in states:
                site.states.append((at_ms, SiteState(states[self.study])))
                site.troubles = {Trouble(what): count for study, what, count in record.troubles if study == self.study}

    def _there(self, name: str, since_ms: int, at_ms: int) -> None:
        """It told the same all along: as if once in a period."""
        seen = self.site(name).seen_ms
        between = range(since_ms + round(1000 * PRESENCE_PERIOD_S), at_ms, round(1000 * PRESENCE_PERIOD_S))
        in_order = not seen or not between or between[0] >= seen[-1]
        seen.extend(between)
        if not in_order:
            seen.sort()

    def _seen(self, name: str, at_ms: int) -> SiteHistory:
        site = self.site(name)
        site.seen_ms.append(max(at_ms, site.seen_ms[-1]) if site.seen_ms else at_ms)
        return site

    @property
    def orders(self) -> Orders:
        """What the operators' commands amount to."""
        return Orders.of(one.command for one in self.commands)

    @property
    def version(self) -> int:
        """The newest version; -1 before version 0."""
        return max(self.versions, default=-1)

    @property
    def started_ms(self) -> int | None:
        return self.versions[0].at_ms if 0 in self.versions else None

    @property
    def seconds(self) -> float | None:
        """From version 0 to the newest (or, when it ended, the final) announcement."""
        if self.started_ms is None:
            return None
        return ((self.ended_ms or self.versions[self.version].at_ms) - self.started_ms) / 1000

    @property
    def counted(self) -> int:
        return sum(len(version.cohort) for version in self.versions.values())

    @property
    def offered(self) -> int:
        """Distinct updates offered or decided so far."""
        return sum(len(site.offers.keys() | site.decisions.keys()) for site in self.sites.values())

    @property
    def refused(self) -> dict[str, int]:
        """Refused updates by code, void ones as `void`; sorted."""
        codes: Counter[str] = Counter()
        for site in self.sites.values():
            for decision in site.decisions.values():
                if decision.outcome in (Outcome.REFUSED, Outcome.VOID):
                    codes[decision.code or decision.outcome.name.lower()] += 1
        return dict(sorted(codes.items()))

    @property
    def undecided(self) -> int:
        """Offers without a final receipt."""
        return self.offered - self.counted - sum(self.refused.values())

    def staleness(self, version: Version, update: Counted) -> int | None:
        """How many versions an update of `version`'s cohort was behind; None when its offer is no longer on the log."""
        offer = self.site(update.site).offers.get(update.sequence)
        return None if offer is None else version.number - 1 - offer.base_version

    def effective_shares(self) -> dict[str, float]:
        """Each site's share of the model: the mean over versions of its weight over the cohort's weights."""
        shares = dict.fromkeys(self.sites, 0.0)
        made = [version.cohort for version in self.versions.values() if version.cohort]
        for cohort in made:
            total = sum(update.weight for update in cohort)
            for update in cohort:
                shares[update.site] += update.weight / total / len(made)
        return shares

    def close(self, topics: Iterable[str]) -> None:
        """Topics that whoever looks may not read: a site gets no other site's word, but the coordinator's sums."""
        self.forbidden = tuple(sorted(topics))
        self.sealed = self.sealed or bool(self.forbidden)

    def overall(self, version: int, metric: str | None = None) -> float | None:
        """The mean over sites at `version`, weighted by what the plan names, up to its cap.

        A site that did not evaluate this version counts with its newest evaluation before it. To whom measurements are
        sealed, this is what the coordinator announced of the version, or of the newest before it.
        """
        name = metric or self.plan.evaluation.metric
        if self.sealed:
            return self._announced(version) if name == self.plan.evaluation.metric else None
        found = {site.name: site.newest(name, until=version) for site in self.sites.values()}
        return self.mean({site: value for site, value in found.items() if value is not None})

    def _announced(self, version: int) -> float | None:
        known = [number for number in self.summaries if number <= version]
        return self.summaries[max(known)].value if known else None

    def mean(self, values: Mapping[str, float]) -> float | None:
        """Weigh one value per site as `overall` does; None when there is nothing to weigh."""
        rule = self.plan.evaluation
        told = [self.site(name).newest(rule.weight) or 0.0 for name in values]
        weights = dict(zip(values, capped(told, rule.weight_max), strict=True))
        total = sum(weights.values())
        return sum(values[name] * weights[name] for name in values) / total if total else None
