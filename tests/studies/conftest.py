"""Where the heart data are, and what is said when they are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def heart_folder() -> Path:
    """The four files of UCI Heart Disease; a test without them is skipped, or fails where WARDROUND_REQUIRE_DATA=1."""
    named = os.environ.get("WARDROUND_HEART_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data" / "uci-heart"
    if not (folder / "processed.cleveland.data").is_file():
        reason = f"no heart data in {folder}: name their folder in WARDROUND_HEART_DATA (studies/heart/README.md)"
        if os.environ.get("WARDROUND_REQUIRE_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
