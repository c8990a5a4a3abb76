"""A transaction ends as its own records say: committed when all of them are there, else taken back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.errors import LogUndecided
from transport.reading.log import Entry
from transport.writing.labels import HEADER, Label, all_there, label_of


def entries(label: Label | None, count: int, *, topic: str = "rounds", first: int = 0) -> list[Entry]:
    headers = () if label is None else ((HEADER, label.to_bytes()),)
    return [Entry(topic, first + i, 0, None, b"x", headers) for i in range(count)]


@given(st.integers(1, 1500), st.data())
def test_it_is_committed_exactly_when_every_record_is_there_wherever_it_lies(count: int, data: st.DataObject) -> None:
    label, earlier = Label.fresh(count), Label.fresh(3)
    hidden = data.draw(st.integers(1, count))
    visible = data.draw(st.integers(0, count - hidden))
    before = entries(earlier, 3, topic="receipts")
    shown = entries(label, visible, topic="receipts", first=3)
    assert all_there(entries(label, hidden), [*before, *shown]) is (hidden + visible == count)


OTHER = Entry("receipts", 0, 0, None, b"x", ((HEADER, b"?"),))  # another program's


@pytest.mark.parametrize("stranger", [*entries(None, 1, topic="receipts"), OTHER], ids=["no label", "another's"])
def test_a_strangers_record_behind_a_hidden_transaction_does_not_say_how_that_ends(stranger: Entry) -> None:
    label = Label.fresh(2)
    assert label_of(stranger) is None
    assert all_there([*entries(label, 2), stranger], [stranger])
    assert not all_there([*entries(label, 1), stranger], [stranger])


def test_where_nothing_hidden_has_a_label_nobody_here_can_end_it() -> None:
    with pytest.raises(LogUndecided, match="receipts"):
        all_there([OTHER], entries(Label.fresh(1), 1))
    assert not all_there([], [])


def test_where_one_is_whole_and_another_is_not_a_person_decides() -> None:
    whole, part = Label.fresh(2), Label.fresh(2)
    with pytest.raises(LogUndecided):
        all_there([*entries(whole, 2), *entries(part, 1, first=2)], [])
    assert not all_there([*entries(part, 1), *entries(Label.fresh(5), 4, first=1)], [])


def test_a_label_reads_back_as_it_was_written() -> None:
    label = Label.fresh(1280)
    assert label_of(entries(label, 1)[0]) == label
    assert len(label.to_bytes()) == 12
