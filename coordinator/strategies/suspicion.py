"""Who may have made rounds fail, and how their later updates are drawn: least suspicious first, suspects one at a time.

Knows:    a failed cohort makes suspects of all its members; one that counts clears all of its own. A culprit is never
          cleared, so it sinks; what it can still break are its probes, each twice as many versions after the last one.
Source:   adaptive group testing, Hwang 1972; docs/design.md, section 4, step 7.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

HOLD_MS = 60_000  # in a plan without a deadline: for so long a round tries to do without suspects
WAITS_MAX = 8
SUSPECTED_AFTER = frozenset({"range", "examples"})  # codes of Failed that a member of the cohort can cause


@dataclass(frozen=True, slots=True)
class Suspect:
    """`failed`: cohorts that failed with it in a row; `versions`: how many were made since, without it."""

    failed: int
    versions: int = 0

    @property
    def may_be_probed(self) -> bool:
        """After 1, 2, 4, 8 … versions it may be in a cohort again, as its only suspect."""
        return self.versions >= 1 << (self.failed - 1)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """The suspects of a study; everybody else is trusted. Built from the decision log, record by record."""

    suspects: Mapping[str, Suspect] = field(default_factory=dict)

    def after_failed(self, sites: Iterable[str]) -> "Suspicion":
        """The suspicion after a round of `sites` has failed."""
        fresh = {site: Suspect(self.level(site) + 1) for site in sites}
        return Suspicion({**self.suspects, **fresh})

    def after_counted(self, sites: Collection[str]) -> "Suspicion":
        """The suspicion after `sites` have made a version."""
        left = {site: one for site, one in self.suspects.items() if site not in sites}
        return Suspicion({site: Suspect(one.failed, one.versions + 1) for site, one in left.items()})

    def level(self, site: str) -> int:
        """0: trusted; else the number of cohorts that failed with this site in a row."""
        suspect = self.suspects.get(site)
        return suspect.failed if suspect is not None else 0

    def order(self, arrivals: Iterable[tuple[int, str]]) -> list[str]:
        """Sites, least suspicious first, among equals as they arrived; ties by name."""
        return [site for _, _, site in sorted((self.level(site), arrival, site) for arrival, site in arrivals)]

    def admitted(
        self, arrivals: Iterable[tuple[int, str]], inside: Collection[str], *, minimum: int, waited: int
    ) -> list[str]:
        """Which of those that wait may enter the round now, in order.

        arrivals   (arrival, site) of those that wait
        inside     sites whose updates are in the round already, or on their way into it
        minimum    how many the plan and the sites' floors need to close a cohort at all
        waited     for how many times `hold_ms` this round has waited
        Everybody trusted enters. A suspect enters as the only one, once it may be probed; or, where the minimum is not
        there without it, when the round has waited once for each cohort that failed with it (at most 8 times).
        """
        entered: list[str] = []
        within = set(inside)
        suspects = sum(site in self.suspects for site in within)
        for site in self.order(arrivals):
            suspect = self.suspects.get(site)
            if suspect is not None:
                needed = len(within) < minimum and waited >= min(suspect.failed, WAITS_MAX)
                if not (needed or (suspect.may_be_probed and suspects == 0)):
                    continue
                suspects += 1
            within.add(site)
            entered.append(site)
        return entered


def hold_ms(deadline_ms: int) -> int:
    """How long a round tries to do without the least suspicious; twice as long without the next, and so on."""
    return deadline_ms or HOLD_MS
