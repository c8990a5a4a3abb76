"""What every test gets: logs as they are before any service or command has set them up."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def fresh_logs() -> Iterator[None]:
    """A command that ran in an earlier test has set levels for itself alone."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()
