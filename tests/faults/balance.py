"""The balance: every update that was ever sealed has exactly one fate, and site, log and receipts agree on it.

Never:    reads anything: evidence in, balance out.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from schemas.records import Outcome
from tests.faults.evidence import Evidence, Update

COUNTED, VOID, OVERTAKEN = "counted", "void", "overtaken"
IN_OUTBOX, UNSENT, GIVEN_UP = "in an outbox, offered", "in an outbox, unsent", "given up unsent: too late"
LOST = "LOST"


@dataclass(frozen=True, slots=True)
class Balance:
    """`fates` counts the updates by their fate; `differences` names, one by one, what does not add up."""

    sealed: int
    offers: int
    offer_records: int
    fates: Counter[str]
    differences: tuple[str, ...]

    @property
    def difference(self) -> int:
        """Offers made less offers accounted for."""
        return self.offers - sum(count for fate, count in self.fates.items() if fate not in (UNSENT, GIVEN_UP, LOST))

    @property
    def is_exact(self) -> bool:
        return not self.differences and self.difference == 0


def balance(found: Evidence) -> Balance:
    """Account for every update."""
    everything = sorted(found.sealed.keys() | found.offered.keys() | found.counted.keys() | found.outbox)
    fates = {update: _fate(found, update) for update in everything}
    differences = [line for update in everything for line in _wrong(found, update, fates[update])]
    return Balance(
        sealed=len(found.sealed),
        offers=len(found.offered),
        offer_records=found.offered.total(),
        fates=Counter(fates.values()),
        differences=tuple(differences),
    )


def _fate(found: Evidence, update: Update) -> str:
    """What became of one update; what stands on the log goes before what its site believes."""
    if update in found.counted:
        return COUNTED
    outcomes = {verdict.outcome for verdict in found.receipts.get(update, ())}
    if Outcome.VOID in outcomes:
        return VOID
    if Outcome.REFUSED in outcomes:
        return f"refused: {min(verdict.code or 'none' for verdict in found.receipts[update])}"
    site, sequence = update
    if update in found.offered and sequence < found.newest_final.get(site, -1):
        return OVERTAKEN
    if update in found.outbox:
        return IN_OUTBOX if update in found.offered else UNSENT
    too_late = found.version - found.sealed.get(update, found.version) > found.staleness_max
    return GIVEN_UP if update not in found.offered and too_late else LOST


def _wrong(found: Evidence, update: Update, fate: str) -> Iterator[str]:
    name = f"{update[0]}/{update[1]}"
    if fate == LOST:
        base = found.sealed.get(update)
        offered = f"offered {found.offered[update]} times" if update in found.offered else "never offered"
        yield f"{name}: lost; trained from version {base}, {offered}, neither decided nor in an outbox"
    if update not in found.sealed:
        yield f"{name}: {fate}, but no ledger knows it"
    if fate == COUNTED:
        yield from _wrong_count(found, update, name)
    elif update in found.voided and fate != VOID:
        yield f"{name}: a failed round named it, its receipt says {fate}"
    told = found.told.get(update)
    if told is not None and not _agree(told, fate):
        yield f"{name}: its site noted {told}, the log says {fate}"
    if told is not None and update in found.outbox:
        yield f"{name}: its site noted {told} and keeps it in its outbox"
    if len(found.receipts.get(update, ())) > 1:
        yield f"{name}: receipts contradict each other: {sorted(map(str, found.receipts[update]))}"


def _agree(told: str, fate: str) -> bool:
    """A site notes what the receipt said; what it gave up by itself may have been refused meanwhile, never counted."""
    return fate.startswith(told) if told in (COUNTED, "refused", VOID) else fate != COUNTED


def _wrong_count(found: Evidence, update: Update, name: str) -> Iterator[str]:
    counts = found.counted[update]
    if len(counts) > 1:
        yield f"{name}: counted {len(counts)} times, in versions {[count.version for count in counts]}"
    if update not in found.offered:
        yield f"{name}: counted, but never offered"
    if update in found.voided:
        yield f"{name}: counted, and in a failed round"
    said = found.receipts.get(update, set())
    if said and counts[0] not in said:
        yield f"{name}: the Request says {counts[0]}, the receipt {sorted(map(str, said))}"
    if not said and update[1] >= found.newest_final.get(update[0], -1):
        yield f"{name}: counted, but no receipt says so"
