"""docs/operations/doctor.md names every finding with what the code says of it."""

import re

import mdformat

from runtime.child import ROOT
from wardround.doctor.run import all_checks

PAGE = ROOT / "docs" / "operations" / "doctor.md"
HEAD = "| finding | what it means | what to do | whom to ask |\n| -- | -- | -- | -- |\n"


def table() -> str:
    """The rows as the code has them."""
    rows = [
        f"| `{one.name}` | {one.means} | {_sentence(one.do)} | {one.ask or 'nobody'} |" for one in all_checks().values()
    ]
    text = HEAD + "\n".join(row.replace("<", "\\<") for row in rows) + "\n"
    return mdformat.text(text, options={"wrap": 100, "compact_tables": True}, extensions={"gfm"})


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith("?") else ".")


def test_the_page_has_every_finding_as_the_code_says_it() -> None:
    """`python -m tests.wardround.doctor.test_page` writes the table anew."""
    assert table() in PAGE.read_text()


if __name__ == "__main__":
    found = re.search(r"^\| finding.*?(?=\n\n|\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    PAGE.write_text(PAGE.read_text().replace(found[0], table().rstrip("\n")))
