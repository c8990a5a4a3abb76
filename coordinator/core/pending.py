"""Receipts that are decided and not on the log yet: which may leave with the next transaction, and when.

Knows:    a site's newest receipt says everything that an earlier one of the same site did.
Never:    writes.
"""

from collections.abc import Iterable

from schemas.records import Receipt

RECEIPTS_MAX = 256  # of other sites in one transaction
FLUSH_MS = 1_000  # between two transactions that hold refusals alone


class Pending:
    """At most one receipt a site."""

    def __init__(self, now_ms: int, receipts: Iterable[Receipt] = ()) -> None:
        self._receipts = {receipt.site: receipt for receipt in receipts}
        self._flushed_ms = now_ms

    def __len__(self) -> int:
        return len(self._receipts)

    def __contains__(self, site: object) -> bool:
        return site in self._receipts

    def add(self, receipt: Receipt) -> None:
        """It is decided; it replaces the one of the same site."""
        self._receipts[receipt.site] = receipt

    def with_cohort(self, receipts: Iterable[Receipt]) -> list[Receipt]:
        """What leaves with a round that ends: its own `receipts`, and others that ride along."""
        own = list(receipts)
        for receipt in own:
            self._receipts.pop(receipt.site, None)
        return [*own, *self._taken()]

    def flush(self, now_ms: int) -> list[Receipt]:
        """What leaves in a transaction of its own now; `flushed` has to follow where that is anything."""
        due_ms = self.due_ms
        return self._taken() if due_ms is not None and now_ms >= due_ms else []

    def flushed(self, now_ms: int) -> None:
        """Such a transaction is committed."""
        self._flushed_ms = now_ms

    @property
    def due_ms(self) -> int | None:
        """From when on they may leave by themselves; None while there are none."""
        return self._flushed_ms + FLUSH_MS if self._receipts else None

    def _taken(self) -> list[Receipt]:
        return [self._receipts.pop(site) for site in sorted(self._receipts)[:RECEIPTS_MAX]]
