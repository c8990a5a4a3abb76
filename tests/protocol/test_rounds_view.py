"""The decision log: what a member accepts, and each way in which a coordinator could break it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.chain import GENESIS
from protocol.digests import record_digest
from protocol.rounds import RoundsView
from schemas.errors import PeerError
from schemas.records import AskAgain
from tests.protocol.logs import PLAN, STUDY, Scribe, begun, changed, entry, model


def view_of(scribe: Scribe, **values: Any) -> RoundsView:
    view = RoundsView(STUDY, PLAN, **values)
    for record in scribe.records:
        assert view.add(record)
    return view


def refused(view: RoundsView, record: Any, rule: str, code: str = "malformed") -> None:
    before = (view.next_index, view.previous, view.version, view.newest, view.open_request)
    with pytest.raises(PeerError, match=rule) as error:
        view.add(record)
    assert error.value.code == code
    assert (view.next_index, view.previous, view.version, view.newest, view.open_request) == before


@given(rounds=st.lists(st.sampled_from(["announced", "failed", "repeated"]), max_size=20))
def test_whatever_rounds_there_were_the_view_knows_where_it_stands(rounds: list[str]) -> None:
    scribe, versions = begun(), 0
    for number, how in enumerate(rounds):
        if how == "repeated":
            scribe.keep(scribe.announcement(model=model(versions), key_epoch=number))
            continue
        request = scribe.keep(scribe.request(entry("a", number), entry("b", number, 4)))
        if how == "announced":
            versions += 1
            scribe.keep(scribe.answer(request, key_epoch=number))
        else:
            scribe.keep(scribe.failed(request))
    view = view_of(scribe)
    assert view.version == versions
    assert view.open_request is None
    assert view.next_index == len(scribe.records)
    assert view.previous == record_digest(scribe.records[-1].to_bytes())
    assert [view.model_digest(version) for version in range(versions + 1)] == [
        model(version).digest for version in range(versions + 1)
    ]
    assert view.model_digest(versions + 1) is None
    assert view.model_digest(-1) is None
    assert not any(view.add(record) for record in scribe.records)  # the same log read again changes nothing


def test_an_empty_log_waits_for_version_0() -> None:
    view = RoundsView(STUDY, PLAN)
    assert (view.previous, view.version, view.final, view.open_digest) == (GENESIS, -1, False, None)
    refused(view, Scribe().request(version=0), "begins with version 0")
    refused(view, Scribe().announcement(version=1), "begins with version 0")


def test_an_open_request_is_known_until_it_ends() -> None:
    scribe = begun()
    request = scribe.keep(scribe.request(entry("a", 7)))
    view = view_of(scribe)
    assert view.open_request == request
    assert view.open_digest == record_digest(request.to_bytes())
    refused(view, scribe.request(entry("b", 1)), "another Request is open")
    refused(view, scribe.announcement(), "a Request is open")
    refused(view, scribe.answer(request, request=b"\x09" * 32), "not open")
    refused(view, scribe.failed(request, request=b"\x09" * 32), "not open")
    assert view.add(scribe.keep(AskAgain(**scribe.head(), request=view.open_digest or b"", trustees=("t",))))
    assert view.add(scribe.keep(scribe.answer(request)))
    assert view.open_request is None
    refused(view, scribe.failed(request), "not open")


def test_another_record_in_a_known_place_is_a_fork() -> None:
    scribe = begun()
    scribe.keep(scribe.request(entry("a", 1)))
    view = view_of(scribe)
    refused(view, changed(scribe.records[1], entries=(entry("a", 2),)), "the log forked", "forked")
    refused(view, scribe.answer(scribe.records[1], previous=b"\x05" * 32), "the log forked", "forked")
    assert view.digest_at(1) == record_digest(scribe.records[1].to_bytes())
    assert view.digest_at(2) is None


def test_a_record_remembered_from_before_must_still_stand_there() -> None:
    scribe = begun()
    scribe.keep(scribe.request(entry("a", 1)))
    right = record_digest(scribe.records[1].to_bytes())
    assert view_of(scribe, remembered={1: right}).next_index == 2
    view = RoundsView(STUDY, PLAN, remembered={1: bytes(32)})
    view.add(scribe.records[0])
    refused(view, scribe.records[1], "the log forked", "forked")


def test_a_missing_record_a_strange_study_or_plan_is_refused() -> None:
    scribe = begun()
    view = view_of(scribe)
    refused(view, scribe.request(index=2), "record 1 of demo is missing", "lost")
    refused(view, scribe.request(study="other"), "study other stands on the log of demo")
    refused(view, scribe.request(plan=b"\x06" * 32), "another plan")
    refused(RoundsView(STUDY, b"\x06" * 32), scribe.records[0], "another plan")


def test_the_rosters_serial_never_falls_and_has_one_digest() -> None:
    scribe = begun()
    scribe.keep(scribe.announcement(roster_serial=5, roster=b"\x07" * 32))
    view = view_of(scribe)
    refused(view, scribe.request(roster_serial=4), "never falls below 5")
    refused(view, scribe.request(roster_serial=5), "another digest")
    assert view.add(scribe.request(roster_serial=6))


def test_an_announcement_must_tell_what_its_request_asked() -> None:
    scribe = begun()
    request = scribe.keep(scribe.request(entry("a", 1, 16), entry("b", 1, 11)))
    view = view_of(scribe)
    for values, rule in (
        ({"version": 2}, "version 1 comes next"),
        ({"version": 0}, "version 1 comes next"),
        ({"n": 1}, "names 2 updates"),
        ({"sum_w": 32}, "sum to 27"),
        ({"sum": None}, "digests of the sum"),
        ({"partial_sums": (bytes(32),)}, "0 partial sums"),
        ({"final": True}, "reason to stop"),
        ({"stop": 5}, "reason to stop"),
    ):
        refused(view, scribe.answer(request, **values), rule)
    assert view.add(scribe.answer(request))


def test_partial_sums_are_as_many_as_the_plan_has_trustees() -> None:
    scribe = begun()
    request = scribe.keep(scribe.request())
    view = view_of(scribe, trustees=2)
    refused(view, scribe.answer(request), "2 partial sums")
    assert view.add(scribe.answer(request, partial_sums=(bytes(32), b"\x01" * 32)))


def test_an_announcement_without_a_request_changes_nothing_of_the_model() -> None:
    scribe = begun()
    view = view_of(scribe)
    for values, rule in (
        ({"version": 1}, "stay"),
        ({"model": model(1)}, "stay"),
        ({"state": model(1)}, "stay"),
        ({"n": 1}, "carries no sum"),
        ({"sum": bytes(32)}, "carries no sum"),
    ):
        refused(view, scribe.announcement(**values), rule)
    scribe.keep(scribe.announcement(key_epoch=1))
    assert view.add(scribe.records[-1])
    refused(view, scribe.announcement(key_epoch=0), "key_epoch never falls")


def test_a_request_names_the_newest_version_and_no_update_twice() -> None:
    scribe = begun()
    first = scribe.keep(scribe.request(entry("a", 5)))
    scribe.keep(scribe.failed(first))
    view = view_of(scribe)
    refused(view, scribe.request(version=1), "newest version is 0")
    for sequence in (5, 4):
        refused(view, scribe.request(entry("a", sequence)), "named before")
    refused(view, scribe.request(entry("a", 6), after_refusal=b"a verdict"), "none refused")
    assert view.add(scribe.request(entry("a", 6), entry("b", 0)))


def test_after_the_end_nothing_follows_but_its_repetition() -> None:
    scribe = begun()
    scribe.keep(scribe.announcement(stop=5, final=True))
    view = view_of(scribe)
    assert view.final
    refused(view, scribe.request(), "has ended")
    refused(view, scribe.announcement(), "has ended")
    assert view.add(scribe.announcement(stop=5, final=True, key_epoch=1))
