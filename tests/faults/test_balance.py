"""The balance finds what must not be: each planted mistake gets its line, and honest books are exact."""

from schemas.records import Outcome
from tests.faults.balance import COUNTED, GIVEN_UP, IN_OUTBOX, LOST, OVERTAKEN, UNSENT, VOID, balance
from tests.faults.evidence import Evidence, Update, Verdict

A, B, C, D, E, F, G = (("site-00", number) for number in range(1, 8))
IN_VERSION_3 = Verdict(Outcome.COUNTED, None, 3, 16)
STALE = Verdict(Outcome.REFUSED, "stale", None, 0)
VOIDED = Verdict(Outcome.VOID, None, None, 0)


def honest() -> Evidence:
    """One update of each end: counted, refused, void, overtaken, in the outbox offered, unsent, and given up."""
    found = Evidence(version=20, staleness_max=8)
    found.sealed = {A: 2, B: 3, C: 4, D: 5, E: 19, F: 20, G: 6}
    found.offered.update([A, A, B, C, D, E])
    found.counted[A].append(IN_VERSION_3)
    found.voided.add(C)
    found.receipts.update({A: {IN_VERSION_3}, B: {STALE}, C: {VOIDED}})
    found.newest_final["site-00"] = 5
    found.outbox = {E, F}
    found.told = {A: "counted", B: "refused", C: "void", D: "overtaken", G: "stale"}
    return found


def differences(found: Evidence) -> str:
    return "\n".join(balance(found).differences)


def test_honest_books_are_exact() -> None:
    found = honest()
    result = balance(found)
    assert result.differences == ()
    assert result.is_exact
    assert (result.sealed, result.offers, result.offer_records) == (7, 5, 6)
    wanted = {COUNTED: 1, "refused: stale": 1, VOID: 1, OVERTAKEN: 1, IN_OUTBOX: 1, UNSENT: 1, GIVEN_UP: 1}
    assert dict(result.fates) == wanted


def test_an_update_counted_twice_is_named_with_its_versions() -> None:
    found = honest()
    found.counted[A].append(Verdict(Outcome.COUNTED, None, 7, 8))
    assert "site-00/1: counted 2 times, in versions [3, 7]" in differences(found)


def test_an_offer_that_nobody_decided_and_no_outbox_holds_is_lost() -> None:
    found = honest()
    found.outbox.discard(E)
    result = balance(found)
    assert result.fates[LOST] == result.difference == 1
    assert "site-00/5: lost; trained from version 19, offered 1 times" in differences(found)


def test_an_update_that_vanished_before_it_was_offered_is_lost_unless_it_was_too_late() -> None:
    found = honest()
    found.outbox.discard(F)
    assert "site-00/6: lost; trained from version 20, never offered" in differences(found)


def test_a_receipt_that_contradicts_the_request_is_told() -> None:
    for wrong in (Verdict(Outcome.COUNTED, None, 4, 16), Verdict(Outcome.COUNTED, None, 3, 11), STALE):
        found = honest()
        found.receipts[A] = {wrong}
        assert "site-00/1: the Request says" in differences(found)


def test_receipts_that_contradict_each_other_are_told() -> None:
    found = honest()
    found.receipts[B] = {STALE, VOIDED}
    assert "site-00/2: receipts contradict each other" in differences(found)


def test_a_count_without_offer_ledger_or_receipt_is_told() -> None:
    found = honest()
    stranger: Update = ("site-01", 1)
    found.counted[stranger].append(IN_VERSION_3)
    told = differences(found)
    assert "site-01/1: counted, but no ledger knows it" in told
    assert "site-01/1: counted, but never offered" in told
    assert "site-01/1: counted, but no receipt says so" in told


def test_an_update_of_a_failed_round_that_is_not_void_is_told() -> None:
    found = honest()
    found.voided.add(B)
    assert "site-00/2: a failed round named it, its receipt says refused: stale" in differences(found)


def test_a_site_that_was_told_another_end_than_the_logs_is_named() -> None:
    for update, told, line in (
        (A, "refused", "site-00/1: its site noted refused, the log says counted"),
        (A, "stale", "site-00/1: its site noted stale, the log says counted"),
        (B, "counted", "site-00/2: its site noted counted, the log says refused: stale"),
        (E, "overtaken", "site-00/5: its site noted overtaken and keeps it in its outbox"),
    ):
        found = honest()
        found.told[update] = told
        assert line in differences(found)
