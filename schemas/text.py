"""A text that somebody else wrote, made fit to be shown: on a terminal, in a log, a file of state, a report.

Knows:    control codes and escape sequences move a terminal's cursor and colour; marks of direction and zero-width
          characters make a line read otherwise than it is; line breaks forge lines of a log.
Source:   Unicode 15, general categories; "Trojan Source", arXiv 2111.00169.
"""

import unicodedata

TEXT_MAX = 400
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MARKS_MAX = 4  # combining marks in a row: more paint over the lines above and below


def is_hidden(char: str) -> bool:
    """Whether a character does something to a terminal, or to the order of a text, instead of showing."""
    return unicodedata.category(char) in _HIDDEN


def visible(text: str) -> str:
    """The lines of a text as they are, but what is hidden in them shown as `\\x1b`."""
    if text.isprintable() and text.isascii():
        return text
    return "".join(_escaped(char) if char != "\n" and is_hidden(char) else char for char in text)


def plain(text: str, most: int = TEXT_MAX) -> str:
    """One line of at most `most` characters: white space is one blank, what is hidden is shown as `\\x1b`.

    A text that is plain already stays as it is.
    """
    if len(text) <= most and text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    line = " ".join("".join(_kept(text[: 4 * most + 4])).split())
    cut = len(line) > most or len(text) > 4 * most + 4
    return line[: max(0, most - 1)].rstrip() + "…" if cut else line


def _kept(text: str) -> list[str]:
    kept: list[str] = []
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        if marks <= _MARKS_MAX:
            kept.append(_escaped(char) if is_hidden(char) and not char.isspace() else char)
    return kept


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()
