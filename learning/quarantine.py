"""Records of one site that break the data contract: set aside, counted by column and rule, never looked into.

Knows:    how many records were read, how many were set aside, and the share that the plan allows.
Never:    keeps a record or a value of one.
Imports:  schemas.errors.   Used by: learning.contract, learning.task, participant.training.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from schemas.errors import LocalError


@dataclass(frozen=True, slots=True)
class SetAside:
    """So many records of `where` broke one rule in one column; a record may break several."""

    where: str
    column: str
    rule: str  # fields, not-a-number, not-finite, missing, not-whole, unknown-value, out-of-range
    records: int


class Quarantine:
    """What one loading of a site's data set aside. With `share_max` 0 nothing is: the first bad record refuses all."""

    def __init__(self, share_max: float = 0.0) -> None:
        self.share_max = share_max
        self.set_aside = 0
        self._read: dict[str, int] = {}
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._said: dict[tuple[str, str, str], str] = {}

    @property
    def tolerant(self) -> bool:
        return self.share_max > 0

    @property
    def records(self) -> int:
        """How many records were read, good and bad."""
        return sum(self._read.values())

    @property
    def counts(self) -> tuple[SetAside, ...]:
        return tuple(SetAside(*key, count) for key, count in sorted(self._counts.items()))

    def read(self, where: str, records: int) -> None:
        """So many records were found in `where`; said again later with fewer of them, it changes nothing."""
        self._read.setdefault(where, records)

    def note(self, where: str, column: str, rule: str, records: int, said: str) -> None:
        """So many records break a rule; `said` tells it to people, e.g. "lie outside 0 to 120"."""
        if records:
            self._counts[where, column, rule] += records
            self._said[where, column, rule] = said

    def put(self, where: str, records: int) -> None:
        """Set so many records of `where` aside. Raises LocalError when that is more than the plan allows."""
        self.set_aside += records
        if self.set_aside <= self.share_max * self.records:
            return
        listed = "; ".join(
            f"{of}, column {column}: {count} {self._said[of, column, rule]}"
            for (of, column, rule), count in sorted(self._counts.items())
        )
        share = self.set_aside / max(1, self.records)
        raise LocalError(
            f"{where}: {self.set_aside} of {self.records} records ({share:.1%}) break the data contract, the plan "
            f"allows {self.share_max:.1%}: {listed}",
            hint="correct these records, or ask the study's author to raise data.bad_records_max in a new plan",
        )
