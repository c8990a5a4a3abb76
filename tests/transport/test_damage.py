"""When a reader says that records are damaged, and how long it waits."""

from structlog.testing import capture_logs

from transport.reading.damage import PAUSE_MAX_S, PERIOD_S, TRIES, Damage


def test_only_the_same_damage_again_and_again_is_said_and_no_more_than_once_in_a_while() -> None:
    damage = Damage()
    with capture_logs() as lines:
        for _ in range(TRIES):
            damage.met("topic a", 0.0)
            damage.met("topic b", 0.0)
        assert lines == []
        for at_s in range(int(3 * PERIOD_S)):
            damage.met("topic a", float(at_s))
    assert [line["reason"] for line in lines] == ["topic a"] * 3


def test_pauses_grow_to_a_limit_and_the_first_try_waits_for_nothing() -> None:
    damage = Damage()
    pauses = [damage.met("topic a", 0.0) for _ in range(100)]
    assert pauses[0] == 0
    assert pauses == sorted(pauses)
    assert pauses[-1] == PAUSE_MAX_S
