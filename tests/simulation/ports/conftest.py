"""What production's shells say in a history stays unsaid."""

from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import capture_logs


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with capture_logs():
        yield
    structlog.reset_defaults()
