"""The play: who joins late, whose link is cut, and when, so that everybody watching sees what offline means here.

Knows:    sites, goal, number of versions, seconds; goal and minimum can be met at any moment.
Never:    touches a process or a link: it returns what is to be done.
"""

from dataclasses import dataclass, field
from typing import Literal

CUT_S = 3.0
LATE_FROM = 0.1  # of all versions
CUTS_FROM = (0.25, 0.55)


@dataclass(frozen=True, slots=True)
class Cast:
    """Who does what: `late` joins late (None: nobody may), `cut` lose their link, one after the other."""

    late: str | None
    cut: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Act:
    """Something to do to one site now."""

    kind: Literal["join", "cut", "restore"]
    site: str


def cast(sites: tuple[str, ...], goal: int) -> Cast:
    """The last site joins late and the second and fourth lose their link; where all are needed nobody is late."""
    late = sites[-1] if len(sites) > goal and len(sites) > 1 else None
    present = [site for site in sites if site != late]
    return Cast(late, tuple(present[index] for index in (1, 3) if index < len(present)) or tuple(present[:1]))


@dataclass(slots=True)
class Script:
    """Ask it now and then; each act is returned once. Nobody stays cut when the study is over."""

    cast: Cast
    versions: int  # the study is planned to have
    staleness_max: int  # beyond it an update would be refused instead of counted late
    _joined: bool = False
    _done: int = 0  # cuts that have begun
    _cut: str | None = None
    _since: tuple[int, float] = field(default=(0, 0.0))

    def acts(self, version: int, now_s: float, *, final: bool = False) -> list[Act]:
        """What is due at `version` and `now_s` (a monotonic clock)."""
        found = []
        if self.cast.late and not self._joined and (final or version >= max(1, round(LATE_FROM * self.versions))):
            self._joined = True
            found.append(Act("join", self.cast.late))
        if self._cut and (final or self._over(version, now_s)):
            found.append(Act("restore", self._cut))
            self._cut = None
        elif self._cut is None and not final and self._due(version):
            self._cut = self.cast.cut[self._done]
            self._done += 1
            self._since = (version, now_s)
            found.append(Act("cut", self._cut))
        return found

    def _due(self, version: int) -> bool:
        return self._done < len(self.cast.cut) and version >= max(1, round(CUTS_FROM[self._done] * self.versions))

    def _over(self, version: int, now_s: float) -> bool:
        since_version, since_s = self._since
        return now_s - since_s >= CUT_S or version - since_version >= max(1, self.staleness_max - 1)
