"""A text that somebody else wrote, made fit to be shown: on a terminal, in a log, a file of state, a report.

Knows:    control codes and escape sequences move a terminal's cursor and colour; marks of direction and zero-width
          characters make a line read otherwise than it is; line breaks forge lines of a log.
Used by:  every room that shows a title, a name, a version string, a reason or an error's text of its peers or tasks.
Source:   Unicode 15, general categories; "Trojan Source", arXiv 2111.00169.
"""

import unicodedata

TEXT_MAX = 400
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MARKS_MAX = 4  # combining marks in a row: more paint over the lines above and below


def plain(text: str, most: int = TEXT_MAX) -> str:
    """One line of at most `most` visible characters; white space is one blank, what is hidden becomes �.

    The same text again for a text that is plain already.
    """
    kept: list[str] = []
    marks = 0
    for one in text[: 4 * most + 4]:
        if one.isspace():
            one = " "
        category = unicodedata.category(one)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if category in _HIDDEN:
            one = "�"
        if marks <= _MARKS_MAX and not (kept and one == kept[-1] and one in " �"):
            kept.append(one)
    line = "".join(kept).strip()
    cut = len(line) > most or len(text) > 4 * most + 4
    return line[: max(0, most - 1)].rstrip() + "…" if cut else line
