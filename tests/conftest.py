"""What every test gets: logs as they are before any service or command has set them up."""

import gc
from collections.abc import Iterator

import pytest
import structlog

gc.disable()  # what is imported to be tested stays: the collector would only look through all of it again and again


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def fresh_logs() -> Iterator[None]:
    """A command that ran in an earlier test has set levels for itself alone."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()
