"""What tests of the command share."""

import socket

import pytest


@pytest.fixture
def free_loopback_port() -> int:
    """A loopback port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
