"""Who has the trainer: learning first, the baseline in what time is left, and nobody twice."""

from hypothesis import given
from hypothesis import strategies as st

from participant.core.turns import Rank, Turn, Turns


class Line:
    """Turns by name; `begun` is the order in which they had the trainer, `yielded` who was asked to give it up."""

    def __init__(self) -> None:
        self.turns, self.begun, self.yielded = Turns(), list[str](), list[str]()

    def ask(self, name: str, rank: Rank = Rank.LEARNING) -> Turn:
        turn = Turn(rank, lambda: self.begun.append(name), lambda: self.yielded.append(name))
        self.turns.ask(turn)
        return turn


def test_among_equals_who_asked_first_is_first() -> None:
    line = Line()
    asked = [line.ask(name) for name in "abc"]
    for turn in asked:
        line.turns.done(turn)
    assert line.begun == ["a", "b", "c"]
    assert line.yielded == []


def test_a_baseline_waits_until_nothing_is_learnt_any_more() -> None:
    line = Line()
    first = line.ask("train")
    line.ask("alone", Rank.BASELINE)
    second = line.ask("another study")
    line.turns.done(first)
    assert line.begun == ["train", "another study"]
    line.turns.done(second)
    assert line.begun[2:] == ["alone"]


def test_a_baseline_is_asked_once_to_give_way() -> None:
    line = Line()
    alone = line.ask("alone", Rank.BASELINE)
    line.ask("another", Rank.BASELINE)
    assert line.yielded == []
    line.ask("train")
    line.ask("evaluate")
    assert line.yielded == ["alone"]
    assert alone.wanted_back
    line.turns.done(alone)
    assert line.begun == ["alone", "train"]


def test_who_does_not_want_its_turn_any_more_is_passed_over() -> None:
    line = Line()
    first, second = line.ask("a"), line.ask("b")
    line.ask("c")
    line.turns.done(second)
    line.turns.done(first)
    assert line.begun == ["a", "c"]


@given(st.lists(st.sampled_from(["learn", "rest", "done"]), max_size=40))
def test_one_is_at_work_at_a_time_and_nobody_is_forgotten(steps: list[str]) -> None:
    line, live = Line(), dict[str, Turn]()
    for number, step in enumerate([*steps, *["done"] * 40]):
        if step != "done":
            live[str(number)] = line.ask(str(number), Rank.LEARNING if step == "learn" else Rank.BASELINE)
        elif at_work := [name for name in line.begun if name in live]:
            assert len(at_work) == 1
            line.turns.done(live.pop(at_work[0]))
    assert not live
