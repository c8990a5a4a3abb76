"""Free ports on the loopback, outside the range that the kernel hands to outgoing connections.

A client that keeps trying a dead port of that range can end up connected to itself, and any connection may take the
port of a broker that is being restarted.
"""

import random
import socket

from schemas.errors import LocalError

HOST = "127.0.0.1"

_RANGE = range(20_000, 32_000)  # Linux hands out 32768 to 60999


def free_ports(count: int) -> list[int]:
    """So many different ports that nobody listens on right now; somebody else may take one before they are used."""
    found: list[int] = []
    for port in random.sample(_RANGE, len(_RANGE)):
        if len(found) == count:
            return found
        if is_free(port):
            found.append(port)
    raise LocalError(
        "no free port between 20000 and 32000 on the loopback", hint="end some of the servers listening there"
    )


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now; connections of an ended server do not count."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True
