"""The many histories are played beside all other tests: on every core, but politely.

They take a quarter of a minute of one core and share nothing with anybody: so they begin with the first test, and who
asks how they went waits for what is left.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HISTORIES = 2_000
SOAK = pytest.StashKey[subprocess.Popen[str]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin as soon as it is known that a test wants to hear of it."""
    wanted = any("soak" in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not session.config.getoption("collectonly"):
        command = ["nice", "-n", "5", sys.executable, "-m", "simulation.soak", str(HISTORIES)]
        session.config.stash[SOAK] = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (soak := session.config.stash.get(SOAK, None)) is not None:
        soak.kill()
        soak.wait()


@pytest.fixture(scope="session")
def soak(pytestconfig: pytest.Config) -> subprocess.Popen[str]:
    """`make soak` of so many histories, begun when the tests were."""
    return pytestconfig.stash[SOAK]
