"""The schedule of what goes wrong: replayable, spread out, and enough of everything."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.acts import bad_quality
from tests.faults.schedule import KINDS, Act, Role, schedule


@settings(deadline=None)  # the first call of a process takes long
@given(seed=st.integers(0, 2**32 - 1))
def test_ten_minutes_kill_the_broker_ten_times_and_everybody_else_twenty_times(seed: int) -> None:
    kills = Counter(fault.role for fault in schedule(seed, 600.0) if fault.act is Act.KILL)
    assert kills[Role.BROKER] >= 10
    for role in (Role.COORDINATOR, Role.PARTICIPANT, Role.TRAINER, Role.FORK_SERVER):
        assert kills[role] >= 20


@settings(deadline=None)  # the first call of a process takes long
@given(seed=st.integers(0, 2**32 - 1))
def test_ten_minutes_kill_ten_coordinators_between_request_and_announcement(seed: int) -> None:
    kills = [fault for fault in schedule(seed, 600.0) if fault.act is Act.KILL_ASKED]
    assert {fault.role for fault in kills} == {Role.COORDINATOR}
    assert len(kills) >= 10


@settings(deadline=None)  # the first call of a process takes long
@given(seed=st.integers(0, 2**32 - 1), duration_s=st.floats(1.0, 3600.0))
def test_every_kind_happens_within_the_time_however_short(seed: int, duration_s: float) -> None:
    faults = schedule(seed, duration_s)
    assert {(fault.role, fault.act) for fault in faults} == {(kind.role, kind.act) for kind in KINDS}
    assert all(0.0 <= fault.at_s <= duration_s for fault in faults)
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)


@settings(deadline=None)  # the first call of a process takes long
@given(seed=st.integers(0, 2**32 - 1))
def test_a_seed_replays_its_schedule(seed: int) -> None:
    assert schedule(seed, 120.0) == schedule(seed, 120.0)
    assert schedule(seed, 120.0) != schedule(seed + 1, 120.0)


@settings(deadline=None)  # the first call of a process takes long
@given(seed=st.integers(0, 2**32 - 1))
def test_a_bad_link_still_brings_a_body_of_a_megabyte_in_a_minute(seed: int) -> None:
    for fault in schedule(seed, 600.0):
        if fault.act in (Act.DELAY, Act.THROTTLE, Act.CORRUPT):
            quality = bad_quality(fault)
            assert quality.delay_s <= 0.5
            assert min(quality.up_bytes_s or 30_000, quality.down_bytes_s or 30_000) >= 30_000
