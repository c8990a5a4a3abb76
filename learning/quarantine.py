"""Records of one site that break the data contract: set aside, counted by column and rule, never looked into.

Knows:    how many records were read, how many were set aside, the share that the plan allows, and how many records of
          each label are among them: a rule that takes away the dead alone would change what is learnt.
Never:    keeps a record or a value of one.
Imports:  schemas.errors.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from schemas.errors import LocalError

HINT = "correct these records, or ask the study's author to raise data.bad_records_max in a new plan"
WHOLE_COLUMN = 0.5  # of a table's records: a rule that more of them break says something of the column


@dataclass(frozen=True, slots=True)
class SetAside:
    """So many records of `where` broke one rule in one column; a record may break several."""

    where: str
    column: str
    rule: str  # fields, quote, not-a-number, not-finite, missing, not-whole, unknown-value, out-of-range
    records: int


@dataclass(frozen=True, slots=True)
class LabelShare:
    """Of `records` records with one label, `set_aside` are set aside. `column` is the contract's, `level` too."""

    where: str
    column: str
    level: str
    records: int
    set_aside: int


class Quarantine:
    """What one loading of a site's data set aside. With `share_max` 0 nothing is: the first bad record refuses all."""

    def __init__(self, share_max: float = 0.0) -> None:
        self.share_max = share_max
        self.set_aside = 0
        self._read: dict[str, int] = {}
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._said: dict[tuple[str, str, str], str] = {}
        self._labels: dict[tuple[str, str, str], int] = {}
        self._labels_lost: Counter[tuple[str, str, str]] = Counter()

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

    @property
    def labels(self) -> tuple[LabelShare, ...]:
        """What became of each label, where records were set aside; empty where none were."""
        if not self.set_aside:
            return ()
        return tuple(LabelShare(*key, count, self._labels_lost[key]) for key, count in sorted(self._labels.items()))

    def read(self, where: str, records: int) -> None:
        """So many records were found in `where`; said again later with fewer of them, it changes nothing."""
        self._read.setdefault(where, records)

    def note(self, where: str, column: str, rule: str, records: int, said: str) -> None:
        """So many records break a rule; `said` tells it to people, e.g. "lie outside 0 to 120"."""
        if records:
            self._counts[where, column, rule] += records
            self._said[where, column, rule] = said

    def label(self, where: str, column: str, level: str, records: int, set_aside: int) -> None:
        """So many records have this label, so many of them are set aside; said again, the first total holds."""
        self._labels.setdefault((where, column, level), records)
        self._labels_lost[where, column, level] += set_aside

    def put(self, where: str, records: int, *, hint: str = "") -> None:
        """Set so many records of `where` aside. Raises LocalError when that is more than the plan allows.

        hint   what to do, where that is known better than here
        """
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
            hint=hint or self._whole_column() or HINT,
        )

    def _whole_column(self) -> str:
        """A hint where a column is not what the contract takes it for, in most of the records."""
        for (where, column, rule), count in sorted(self._counts.items()):
            if count > WHOLE_COLUMN * self._read.get(where, count) and column != "-":
                return whole_column_hint(column, rule)
        return ""


def whole_column_hint(column: str, rule: str) -> str:
    """What to do where most records break one rule of one column."""
    if rule == "not-a-number":
        return (
            f"column {column} is not one of numbers here; look at one of its cells. Text is read by "
            f'Column("{column}", "text") or Column("{column}", "category", values=…), marks for a missing value by the '
            "option `missing`"
        )
    return (
        f"most records break this rule: is column {column} coded or measured otherwise here than the task expects? "
        "Marks for a missing value are named by the option `missing`"
    )
