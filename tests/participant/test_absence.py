"""What an update weighs beside others: patients, or how seldom its site was heard."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from participant.core import effects as do
from participant.core import events as seen
from participant.core.absence import stands_for, weights
from participant.core.restored import Restored
from protocol.fixed_point import Encoding, EncodingError, encode
from schemas.plan import ABSENCE, Plan
from schemas.records import Outcome
from tests.participant.driving import FIRST, Driver, plan, receipt
from tests.schemas.plans import PLAN, changed


def weighing(*, cap: int = 1, examples_max: int = 0) -> Plan:
    """PLAN with coordinates to weigh by."""
    auxiliary = [(ABSENCE, float(cap), 16)] if cap > 1 else []
    auxiliary += [("examples", 1.0, 20)] if examples_max else []
    examples = "examples" if examples_max else None
    weights = {"examples": examples, "examples_max": examples_max, "absence_cap": cap}
    return changed(encoding={"auxiliary": tuple(auxiliary)}, aggregation=weights)


@given(every=st.integers(1, 50), rounds=st.integers(1, 50))
def test_a_site_that_counts_in_every_nth_version_stands_for_n_versions(every: int, rounds: int) -> None:
    assert abs(stands_for(every * rounds - 1, rounds - 1) - every) < 1e-9


@given(base=st.integers(0, 10_000), counted=st.integers(0, 10_000))
def test_nobody_stands_for_less_than_one_version(base: int, counted: int) -> None:
    assert stands_for(base, counted) >= 1


def test_an_update_stands_for_as_many_versions_as_the_cap_at_most() -> None:
    by_absence = weighing(cap=4)
    found = [weights(by_absence, examples=7, stands_for=versions) for versions in (1.0, 2.5, 900.0)]
    assert found == [{ABSENCE: 1.0}, {ABSENCE: 2.5}, {ABSENCE: 4.0}]
    assert by_absence.aggregation.absence_cap == 4


def test_examples_and_no_weights_are_as_they_were() -> None:
    assert weights(weighing(examples_max=100), examples=25, stands_for=9.0) == {"examples": 0.25}
    assert weights(PLAN, examples=25, stands_for=9.0) == {}
    assert weighing(examples_max=100).aggregation.absence_cap == PLAN.aggregation.absence_cap == 1


def test_both_may_weigh_and_the_update_is_scaled_by_both() -> None:
    both = weighing(cap=4, examples_max=100)
    found = weights(both, examples=50, stands_for=2.0)
    assert found == {ABSENCE: 2.0, "examples": 0.5}
    update = np.full(both.parameters, 0.01, np.float32)
    encoded = encode(update, Encoding.from_plan(both), found)
    assert encoded.norm == pytest.approx(0.1 * 0.5 * 0.5, rel=1e-6)


@pytest.mark.parametrize("versions", [0.5, 4.5, float("nan")])
def test_an_update_that_stands_for_more_than_the_cap_or_for_less_than_one_is_not_encoded(versions: float) -> None:
    plan_of = weighing(cap=4)
    with pytest.raises(EncodingError, match=r"it must lie in 1\.\.4"):
        encode(np.zeros(plan_of.parameters, np.float32), Encoding.from_plan(plan_of), {ABSENCE: versions})


def test_a_site_that_was_away_seals_its_next_update_for_the_versions_it_missed() -> None:
    site = Driver(plan())
    site.join()
    site.offer(0)
    site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.COUNTED)))
    site.tell(seen.Linked(False), seen.Linked(True), seen.Announced(19, False), seen.Fetched(19))
    assert site.tell(seen.Trained(19)) == [do.Seal(19, stands_for=10.0)]  # 20 versions by then, two updates of its own


def test_what_counted_before_a_restart_is_remembered_and_what_was_refused_is_not_counted() -> None:
    restored = Restored(sequence_next=FIRST, evaluated=0, counted=9)
    site = Driver(plan(), restored=restored)
    site.join(19)
    site.offer(19)
    site.tell(seen.ReceiptRead(receipt(FIRST, Outcome.REFUSED, code="stale")))
    site.tell(seen.Announced(39, False), seen.Fetched(39))
    site.wait()
    assert site.tell(seen.Trained(39)) == [do.Seal(39, stands_for=4.0)]
