"""Where data that a study may not bring along are, and what is said when they are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def heart_folder() -> Path:
    """The four files of UCI Heart Disease; a test without them is skipped, or fails where WARDROUND_REQUIRE_DATA=1."""
    return _folder("heart", "uci-heart", "processed.cleveland.data")


@pytest.fixture(scope="session")
def eicu_folder() -> Path:
    """The table of the eICU demo; a test without it is skipped, or fails where WARDROUND_REQUIRE_DATA=1."""
    return _folder("eicu", "eicu-demo", "patient.csv")


def _folder(study: str, name: str, file: str) -> Path:
    variable = f"WARDROUND_{study.upper()}_DATA"
    named = os.environ.get(variable)
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data" / name
    if not (folder / file).is_file():
        reason = f"no {study} data in {folder}: name their folder in {variable} (studies/{study}/README.md)"
        if os.environ.get("WARDROUND_REQUIRE_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
