"""What is written on `rounds` continues the chain, and takes over what it has to from what it ends."""

from dataclasses import dataclass
from typing import Any

from protocol.digests import record_digest
from protocol.round_records import (
    Ground,
    failed_cohort,
    first_version,
    request_of,
    version_again,
    version_of_cohort,
)
from protocol.rounds import RoundsRecord, RoundsView
from schemas.records import BodyAt, Stop, Summary
from tests.protocol.logs import EMPTY, PLAN, STUDY, entry, model

GROUND = Ground(roster_serial=3, roster=b"\x02" * 32, key_epoch=1)
LATER = Ground(roster_serial=4, roster=b"\x03" * 32, key_epoch=2)
COHORT = BodyAt(b"\x04" * 32, EMPTY)
SUM = b"\x05" * 32


@dataclass(frozen=True, slots=True)
class Word:
    evaluations: tuple[tuple[str, bytes], ...] = (("a", b"\x06" * 32),)
    patience: int = 2
    stop: Stop = Stop.NONE
    summary: Summary | None = None


def chain(*makers: str) -> tuple[RoundsView, list[Any]]:
    """A log on which these were written one after the other."""
    view = RoundsView(STUDY, PLAN)
    records: list[Any] = []
    for maker in ("first", *makers):
        record = _made(maker, view)
        assert view.add(record)
        records.append(record)
    return view, records


def _made(maker: str, view: RoundsView) -> RoundsRecord:
    asked, newest = view.open_request, view.newest
    if maker == "first":
        return first_version(view, GROUND, model(0))
    if maker == "again" and newest:
        return version_again(view, LATER, newest, Stop.OPERATOR)
    if maker == "request":
        return request_of(
            view,
            GROUND if view.version == 0 else LATER,
            [entry("a", view.next_index), entry("b", view.next_index, 4)],
            COHORT,
        )
    assert asked is not None
    if maker == "failed":
        return failed_cohort(asked, "range")
    return version_of_cohort(asked, LATER, Word(), total=SUM, model=model(asked.version + 1), state=None)


def test_records_that_are_made_one_after_the_other_are_one_chain() -> None:
    view, _ = chain("request", "version", "request", "failed", "request", "version")
    assert (view.version, view.next_index, view.open_request) == (2, 7, None)


def test_the_version_of_a_cohort_says_whose_work_it_is_and_under_which_roster_it_was_written() -> None:
    _, (_, asked, made) = chain("request", "version")
    assert made.request == record_digest(asked.to_bytes()) == made.previous
    assert (made.n, made.sum_w, made.sum, made.version) == (2, 20, SUM, 1)
    assert (made.roster_serial, made.roster, made.key_epoch) == (4, b"\x03" * 32, 2)
    assert (made.evaluations, made.patience, made.stop, made.final) == (Word().evaluations, 2, 0, False)


def test_a_version_that_is_announced_again_is_no_cohorts_work_and_may_be_the_last() -> None:
    view, (first, again) = chain("again")
    assert (again.version, again.model, again.request, again.n, again.sum) == (0, first.model, None, 0, None)
    assert (again.stop, again.final, again.key_epoch) == (Stop.OPERATOR, True, 2)
    assert view.final


def test_a_cohort_that_failed_names_all_its_sites() -> None:
    _, (_, asked, failed) = chain("request", "failed")
    assert (failed.request, failed.code, failed.names) == (record_digest(asked.to_bytes()), "range", ("a", "b"))
