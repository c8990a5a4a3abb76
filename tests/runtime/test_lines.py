"""A source that repeats itself gets few lines, and none is lost count of."""

from hypothesis import given
from hypothesis import strategies as st

from runtime import lines
from runtime.lines import BURST, EVERY_S, LineBudget


@given(st.lists(st.floats(0, 5), max_size=300))
def test_whatever_comes_when_lines_are_few_and_each_says_how_many_were_kept_back(pauses: list[float]) -> None:
    budget, now_s, said, told = LineBudget(), 0.0, 0, 0
    for pause in pauses:
        now_s += pause
        before = budget.ask("rounds", now_s)
        if before is not None:
            said, told = said + 1, told + 1 + before
    assert said <= BURST + now_s / EVERY_S
    assert told <= len(pauses)
    later = budget.ask("rounds", now_s + EVERY_S)
    assert later is not None
    assert told + later == len(pauses)


def test_a_source_that_is_loud_takes_no_line_from_another() -> None:
    budget = LineBudget()
    assert [budget.ask("a", 0.0) for _ in range(BURST + 1)] == [0] * BURST + [None]
    assert budget.ask("b", 0.0) == 0
    assert budget.ask("a", EVERY_S) == 1


def test_sources_without_number_fill_no_memory() -> None:
    budget = LineBudget()
    for number in range(2 * lines.SOURCES_MAX):
        budget.ask(str(number), 0.0)
    assert len(budget._sources) == lines.SOURCES_MAX
