"""Memory that grows is told from memory that only breathes."""

import pytest

from tests.faults.soak import memory_of


def test_memory_that_breathes_is_flat_and_a_leak_is_not() -> None:
    breathing = [(float(at_s), 100.0 + at_s % 7) for at_s in range(0, 600, 5)]
    assert memory_of("one", breathing).is_flat
    leaking = [(at_s, mb + at_s / 60) for at_s, mb in breathing]
    grown = memory_of("one", leaking)
    assert not grown.is_flat
    assert grown.slope_mb_h == pytest.approx(60.0, rel=0.1)


def test_what_a_process_takes_while_it_warms_up_is_not_judged() -> None:
    samples = [(float(at_s), 50.0 if at_s < 50 else 100.0) for at_s in range(0, 600, 5)]
    memory = memory_of("one", samples)
    assert (memory.first_mb, memory.last_mb, memory.most_mb) == (100.0, 100.0, 100.0)
    assert memory.slope_mb_h == pytest.approx(0.0)
