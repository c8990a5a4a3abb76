"""A site is read as fast as its share allows, whatever the others send."""

from hypothesis import given
from hypothesis import strategies as st

from coordinator.core.allowance import BURST, BYTES_A_RECORD, RECORDS_S, Allowance


def read_as_allowed(allowance: Allowance, site: str, size_bytes: int, until_ms: int) -> int:
    """How many records a site that always has more gets read by `until_ms`."""
    now_ms = read = 0
    while now_ms <= until_ms:
        if wait_ms := allowance.wait_ms(site, now_ms):
            now_ms += wait_ms
            continue
        allowance.spend(site, size_bytes, now_ms)
        read += 1
    return read


@given(st.sampled_from([10, 225, 4096, 500_000]), st.integers(0, 10_000))
def test_whatever_a_site_sends_no_more_is_read_than_its_share(size_bytes: int, until_ms: int) -> None:
    price = 1 + size_bytes / BYTES_A_RECORD
    read = read_as_allowed(Allowance(), "loud", size_bytes, until_ms)
    share = BURST + until_ms * RECORDS_S / 1000
    assert share - 2 * price <= read * price <= share + price


def test_one_in_debt_keeps_nobody_else_waiting_and_is_read_again() -> None:
    allowance = Allowance()
    for _ in range(10_000):
        allowance.spend("loud", 225, 0)
    assert allowance.wait_ms("quiet", 0) == 0
    wait_ms = allowance.wait_ms("loud", 0)
    assert wait_ms > 10_000
    assert allowance.wait_ms("loud", wait_ms) == 0


def test_presence_of_weeks_is_passed_over_quickly() -> None:
    allowance = Allowance()
    for _ in range(80_000):
        allowance.spend("quiet", 225, 0, skipped=True)
    assert allowance.wait_ms("quiet", 0) == 0


@given(st.lists(st.integers(-5000, 5000), max_size=20))
def test_a_clock_that_is_looked_at_out_of_turn_gives_nothing_twice(steps: list[int]) -> None:
    allowance, now_ms, newest_ms = Allowance(), 0, 0
    for _ in range(5000):
        allowance.spend("a", 0, 0)
    for step in steps:
        now_ms = max(0, now_ms + step)
        newest_ms = max(newest_ms, now_ms)
        allowance.wait_ms("a", now_ms)
    owed = 5000 - BURST - newest_ms * RECORDS_S / 1000
    assert abs(allowance.wait_ms("a", newest_ms) - max(0, owed) * 1000 / RECORDS_S) <= 2
