"""docs/rights.md is the table of rights, in words."""

from tests.schemas.rights_page import PAGE, written


def test_the_page_of_rights_is_that_of_the_table() -> None:
    assert PAGE.read_text() == written(), "python -m tests.schemas.rights_page"
