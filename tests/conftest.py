"""What every test gets: logs as they are before any service or command has set them up."""

import gc
import signal
from collections.abc import Iterator

import pytest
import structlog

# A shell leaves what it runs in the background deaf to Ctrl-C, and so would be all that tests start: a person's is not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

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
