"""How a simulated study went: versions over time, staleness, shares, waste and bytes.

Knows:    what an observer of the world sees, added up.
Imports:  stdlib, protocol.rounds, schemas.records.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from protocol.rounds import RoundsRecord
from schemas.records import Announcement, Receipt
from simulation.observe import Observer

OPEN = frozenset({"final", "ended"})  # what the study's end overtook: neither counted nor wasted


@dataclass(slots=True)
class SiteCourse:
    """One site's part.

    weights             its weight over the cohort's, summed over the versions it was in
    counted_ms, wasted_ms   training time of updates that counted; of updates that were refused or given up, and of
                        training that was stopped. What was open at the end is in neither
    up_bytes, down_bytes    bodies, models, offers and evaluations that passed its link
    """

    trained: int = 0
    counted: int = 0
    weights: float = 0.0
    counted_ms: int = 0
    wasted_ms: int = 0
    up_bytes: int = 0
    down_bytes: int = 0


class Course(Observer):
    """Looks on while a study is simulated.

    version_ms  when each version was there, from version 0 on
    staleness   counted updates by how many versions late they were
    refused     updates that did not count, by reason
    """

    def __init__(self, sites: Iterable[str]) -> None:
        self.sites = {name: SiteCourse() for name in sites}
        self.version_ms: list[int] = []
        self.staleness: Counter[int] = Counter()
        self.refused: Counter[str] = Counter()
        self._sums = [0]  # of weights, by version
        self._trained_ms: dict[str, int] = {}  # the newest training of a site, until it is sealed
        self._undecided: dict[tuple[str, int], int] = {}  # training time of updates on their way
        self._codes: dict[tuple[str, int], str] = {}
        self._over = False

    @property
    def versions(self) -> int:
        return max(0, len(self.version_ms) - 1)

    @property
    def counted(self) -> int:
        return self.staleness.total()

    @property
    def wasted(self) -> float:
        """Share of the training time that came to nothing, 0..1."""
        wasted = sum(site.wasted_ms for site in self.sites.values())
        return _share(wasted, wasted + sum(site.counted_ms for site in self.sites.values()))

    @property
    def staleness_mean(self) -> float:
        return _share(sum(late * n for late, n in self.staleness.items()), self.counted)

    def staleness_within(self, part: float) -> int:
        """The staleness that `part` (0..1) of the counted updates do not exceed."""
        seen = 0
        for late in sorted(self.staleness):
            seen += self.staleness[late]
            if seen >= part * self.counted:
                return late
        return 0

    def shares(self) -> dict[str, float]:
        """Each site's effective share of the model: the mean over versions of its weight over the cohort's."""
        return {name: _share(site.weights, self.versions) for name, site in self.sites.items()}

    def heard(self) -> float:
        """How many sites, each heard alike, would be as many voices: 1 / sum of squared shares; 0 without a version."""
        squares = sum(share**2 for share in self.shares().values())
        return 1 / squares if squares else 0.0

    def values(self) -> Mapping[str, object]:
        """Everything, for a script: units in the names."""
        shares = self.shares()
        return {
            "versions": self.versions,
            "version_s": [at / 1000 for at in self.version_ms],
            "counted": self.counted,
            "staleness": {str(late): self.staleness[late] for late in sorted(self.staleness)},
            "refused": dict(sorted(self.refused.items())),
            "wasted_share": round(self.wasted, 6),
            "voices": round(self.heard(), 3),
            "sites": {name: _values(site, shares[name]) for name, site in sorted(self.sites.items())},
        }

    # -- what the world tells

    def on_trained(self, site: str, base_version: int, trained_ms: int, now_ms: int) -> None:
        self.sites[site].trained += 1
        self._trained_ms[site] = trained_ms

    def on_stopped(self, site: str, worked_ms: int, now_ms: int) -> None:
        if not self._over:
            self.sites[site].wasted_ms += worked_ms

    def on_committed(
        self, records: Sequence[RoundsRecord], receipts: Sequence[Receipt], announced: Announcement | None, now_ms: int
    ) -> None:
        self._over = self._over or (announced is not None and announced.final)

    def on_sealed(self, site: str, sequence: int, base_version: int, training: int, now_ms: int) -> None:
        self._undecided[site, sequence] = self._trained_ms.pop(site)

    def on_bytes(self, site: str, direction: str, size_bytes: int, now_ms: int) -> None:
        if direction == "up":
            self.sites[site].up_bytes += size_bytes
        else:
            self.sites[site].down_bytes += size_bytes

    def on_version(self, version: int, n: int, sum_w: int, now_ms: int) -> None:
        self.version_ms.append(now_ms)
        if version:
            self._sums.append(sum_w)

    def on_counted(self, site: str, sequence: int, base_version: int, version: int, weight: int, now_ms: int) -> None:
        part = self.sites[site]
        part.counted += 1
        part.weights += weight / self._sums[version]
        part.counted_ms += self._undecided.pop((site, sequence))
        self.staleness[version - 1 - base_version] += 1

    def on_refused(self, site: str, sequence: int, code: str, now_ms: int) -> None:
        self._codes[site, sequence] = code

    def on_settled(self, site: str, sequence: int, outcome: str, now_ms: int) -> None:
        name = site, sequence
        reason = self._codes.pop(name, outcome)
        if name in self._undecided:  # not counted, then
            trained_ms = self._undecided.pop(name)
            if reason not in OPEN:
                self.refused[reason] += 1
                self.sites[site].wasted_ms += trained_ms


def _values(site: SiteCourse, share: float) -> Mapping[str, float]:
    return {
        "trained": site.trained,
        "counted": site.counted,
        "share": round(share, 6),
        "counted_s": site.counted_ms / 1000,
        "wasted_s": site.wasted_ms / 1000,
        "up_bytes": site.up_bytes,
        "down_bytes": site.down_bytes,
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
