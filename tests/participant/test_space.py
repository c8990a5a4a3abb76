"""The outbox has room, or it has not; nobody's finished work pays for that."""

from hypothesis import given, settings
from hypothesis import strategies as st

from participant.core.space import OutboxSpace


def test_one_study_waits_while_another_holds_the_room() -> None:
    space = OutboxSpace(100)
    space.hold("lung", 60)
    assert space.has_room("heart", 40)
    assert not space.has_room("heart", 41)
    space.hold("lung", 0)
    assert space.has_room("heart", 100)


def test_a_study_does_not_stand_in_its_own_way() -> None:
    space = OutboxSpace(100)
    space.hold("lung", 100)
    assert space.has_room("lung", 100)


def test_who_waits_is_told_of_changes_alone() -> None:
    space, told = OutboxSpace(100), []
    space.on_change(lambda: told.append(space.bytes))
    for size in (60, 60, 0):
        space.hold("lung", size)
    assert told == [60, 0]


@settings(deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40))
def test_who_asks_before_it_makes_something_never_fills_more_than_there_is(steps: list[tuple[str, bool]]) -> None:
    space, sizes, held = OutboxSpace(100), {"a": 30, "b": 50, "c": 70}, set()
    for study, begins in steps:
        if begins and study not in held and space.has_room(study, sizes[study]):
            held.add(study)
            space.hold(study, sizes[study])
        elif not begins:
            held.discard(study)
            space.hold(study, 0)
        assert space.bytes <= 100
