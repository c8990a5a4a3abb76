"""What a receipt says about the updates that wait: a fate, or (None) that the body is wanted anew."""

from participant.core.outbox import Entry, verdicts
from participant.core.stage import Fate, Stage
from schemas.records import Outcome
from tests.participant.driving import receipt


def said(*args: object, entries: tuple[Entry, ...], **kwargs: object) -> dict[int, Fate | None]:
    answer = receipt(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they are
    return {verdict.entry.sequence: verdict.fate for verdict in verdicts(answer, list(entries))}


def test_recent_outcomes_decide_earlier_updates() -> None:
    entries = (Entry.restored(5, 0, 1), Entry.restored(6, 1, 2), Entry.restored(7, 2, 3))
    found = said(7, Outcome.COUNTED, entries=entries, recent=[(5, Outcome.REFUSED), (6, Outcome.VOID)])
    assert found == {5: Fate.REFUSED, 6: Fate.VOID, 7: Fate.COUNTED}


def test_a_final_receipt_overtakes_every_lower_update_it_does_not_name() -> None:
    assert said(9, Outcome.REFUSED, entries=(Entry.restored(5, 0, 1), Entry.restored(9, 3, 2))) == {
        5: Fate.OVERTAKEN,
        9: Fate.REFUSED,
    }


def test_again_decides_nothing_below_it() -> None:
    assert said(9, Outcome.AGAIN, entries=(Entry.restored(5, 0, 1), Entry.restored(9, 3, 2))) == {9: None}


def test_a_later_update_stays_open() -> None:
    assert said(5, Outcome.COUNTED, entries=(Entry.restored(5, 0, 1), Entry.restored(6, 1, 2))) == {5: Fate.COUNTED}


def test_an_again_that_was_answered_already_is_not_answered_twice() -> None:
    sent_after = Entry.restored(6, 1, 40)
    open_again = {"recent": [(6, Outcome.AGAIN)], "next_offset": 30}
    assert said(5, Outcome.REFUSED, entries=(sent_after,), **open_again) == {}
    sent_before = Entry.restored(6, 1, 20)
    assert said(5, Outcome.REFUSED, entries=(sent_before,), **open_again) == {6: None}


def test_an_again_about_a_body_that_is_on_its_way_changes_nothing() -> None:
    assert said(6, Outcome.AGAIN, entries=(Entry(6, 1, stage=Stage.SENDING),)) == {}
    assert said(6, Outcome.AGAIN, entries=(Entry(6, 1, anew=True),)) == {}


def test_an_again_tells_a_site_that_died_meanwhile_that_it_had_offered() -> None:
    assert said(6, Outcome.AGAIN, entries=(Entry(6, 1),)) == {6: None}


def test_of_an_again_and_a_final_outcome_the_final_one_holds() -> None:
    recent = [(6, Outcome.AGAIN), (6, Outcome.COUNTED)]
    assert said(7, Outcome.AGAIN, entries=(Entry.restored(6, 1, 2), Entry.restored(7, 2, 3)), recent=recent) == {
        6: Fate.COUNTED,
        7: None,
    }
