"""A bookmark: a successor reads what it has to and nothing else, and progress stays what the log says."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from coordinator.core.bookmark import Listed, Marked, bookmark_of, progress_after, remembered, wanted
from coordinator.strategies.stopping import Progress
from protocol.judging import judge
from schemas.records import Measured, Memory
from tests.coordinator.driver import Driver
from tests.coordinator.log import Body, model_digest
from tests.coordinator.plans import plan_of

PATIENT = plan_of(goal=3, patience=3)


def positions(driver: Driver) -> dict[str, int]:
    assert driver.log.bookmark is not None
    return dict(driver.log.bookmark.positions)


def test_what_says_nothing_is_not_read_by_a_successor_also_of_a_site_without_a_receipt() -> None:
    driver = Driver(plan_of(goal=3), ("a", "b", "c"))
    for _ in range(50):
        driver.presence("a")
    driver.read_all()
    driver.bookmark()
    driver.crash()
    assert driver.position == {"a": 50, "b": 0, "c": 0}
    assert driver.log.receipts == {}


def test_an_offer_that_waits_is_read_again_whatever_lies_behind_it() -> None:
    driver = Driver(plan_of(goal=3), ("a", "b", "c"))
    driver.presence("a")
    driver.send("a")
    for _ in range(50):
        driver.presence("a")
    driver.send("a")
    driver.bookmark()
    assert positions(driver)["a"] == 1
    driver.crash()
    driver.read_all("a")
    driver.send("b")
    driver.send("c")
    assert driver.counted()["a", 0] == 1


def test_a_refusal_that_is_not_on_the_log_yet_is_not_passed() -> None:
    driver = Driver(plan_of(goal=2), ("a", "b"))
    driver.send("a", body=Body.OUTSIDE)
    assert "a" in driver.pending
    driver.bookmark()
    assert positions(driver)["a"] == 0
    driver.flush()
    driver.bookmark()
    assert positions(driver)["a"] == 1


def test_a_site_that_is_not_heard_keeps_its_position() -> None:
    driver = Driver(plan_of(goal=2), ("a", "b"))
    marked = bookmark_of(driver.core, {"a": 7, "gone": 9}, {"a": 8}, ())
    assert marked.positions == (("a", 8), ("gone", 9))


def test_a_topic_made_anew_begins_at_its_beginning() -> None:
    driver = Driver(plan_of(goal=2), ("a", "b"))
    assert dict(bookmark_of(driver.core, {"a": 7}, {"a": 0}, {"a"}).positions) == {"a": 0}


def test_evaluations_of_the_newest_version_are_remembered_and_announced_by_the_successor() -> None:
    driver = Driver(PATIENT, ("a", "b", "c"))
    driver.evaluate("a", 5)
    driver.evaluate("b", 7)
    driver.read_all()
    driver.bookmark()
    driver.crash()
    for site in driver.sites:
        driver.send(site)
    assert [site for site, _ in driver.log.closes[0].evaluations] == ["a", "b"]


def test_evaluations_of_an_older_version_are_of_no_use() -> None:
    driver = Driver(PATIENT, ("a", "b", "c"))
    driver.evaluate("a", 5)
    driver.bookmark()
    assert remembered(driver.log.bookmark, 1, model_digest(1)) == []
    assert [one.value for one in remembered(driver.log.bookmark, 0, model_digest(0))] == [5]
    assert remembered(None, 0, model_digest(0)) == []


values = st.lists(st.lists(st.integers(-5, 5), max_size=4), min_size=1, max_size=12)


@given(values, st.data())
def test_progress_is_the_same_from_a_bookmark_at_any_version(measured: list[list[int]], data: st.DataObject) -> None:
    """Version v+1 lists what the sites measured of version v; the bookmark stands at any version before."""
    known = {b"%d/%d" % (v, i): (float(value), 1.0) for v, row in enumerate(measured) for i, value in enumerate(row)}
    listed: list[Listed] = [(0, ())]
    progress = Progress()
    passed = [progress]
    for v, row in enumerate(measured):
        listed.append((v + 1, tuple((f"s{i}", b"%d/%d" % (v, i)) for i in range(len(row)))))
        judgement = judge(PATIENT, {f"s{i}": (value, 1.0) for i, value in enumerate(row)})
        progress = progress.after(judgement, higher_is_better=PATIENT.evaluation.higher_is_better)
        passed.append(progress)
    at = data.draw(st.integers(0, len(measured)))
    heard = measured[at] if at < len(measured) else []
    memory = Memory(passed[at].best, tuple(sorted(passed[at].without.items())))
    bookmark = Marked(PATIENT.study, PATIENT.digest, at, (), memory)
    missing = wanted(bookmark, listed)
    assert missing.keys() == {digest for version, row in listed if version > at for _, digest in row}
    held = tuple(Measured(f"s{i}", bytes(31) + b"%d" % i, float(value), 1.0) for i, value in enumerate(heard))
    renamed = {b"%d/%d" % (at, i): one.digest for i, one in enumerate(held)}
    listed = [(v, tuple((site, renamed.get(digest, digest)) for site, digest in row)) for v, row in listed]
    marked = replace(bookmark, memory=replace(memory, evaluations=held))
    assert wanted(marked, listed).keys() == missing.keys() - renamed.keys()
    found = {digest: known[digest] for digest in wanted(marked, listed)}
    resumed = progress_after(marked, listed, found, PATIENT)
    assert (resumed.best, resumed.without) == (progress.best, progress.without)
    assert progress_after(None, listed, known | {one.digest: (one.value, 1.0) for one in held}, PATIENT) == progress
