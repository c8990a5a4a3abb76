"""Texts of strangers: one line, no hidden characters, whatever they hold."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.text import TEXT_MAX, plain, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Lung cancer, stage II", "Lung cancer, stage II"),
        ("Überlebenszeit · 生存期間", "Überlebenszeit · 生存期間"),
        ("\x1b[2J\x1b[31mall is well", "\\x1b[2J\\x1b[31mall is well"),
        ("one\nerror: two\r\nthree\ttab", "one error: two three tab"),
        ("safe\u202egnp.exe", "safe\\u202egnp.exe"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("\x00\x9b31m", "\\x00\\x9b31m"),
        ("  padded  ", "padded"),
        ("e" + 40 * "\u0301", "e" + 4 * "\u0301"),
    ],
)
def test_what_moves_a_terminal_or_forges_a_line_is_shown_as_a_mark(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text(alphabet=st.characters(), max_size=2000))
def test_any_text_becomes_one_visible_line_and_stays_it(text: str) -> None:
    line = plain(text)
    assert len(line) <= TEXT_MAX
    assert not any(unicodedata.category(one)[0] == "C" or one in "\u2028\u2029" for one in line)
    assert plain(line) == line


def test_a_text_that_is_cut_says_so() -> None:
    assert plain("x" * 500, 10) == "x" * 9 + "…"
    assert plain("x" * 10, 10) == "x" * 10


def test_the_lines_of_a_command_keep_their_columns_and_show_what_is_hidden() -> None:
    assert visible("  a   b\n  c   \x1b[2Jd\ttab") == "  a   b\n  c   \\x1b[2Jd\\ttab"
    assert visible("Überleben · 生存") == "Überleben · 生存"
