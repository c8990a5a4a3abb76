"""How every connection of a process goes out: directly, or through a hospital's HTTP proxy with CONNECT.

`asyncio.Runner(loop_factory=loop_factory(choice))` is all that a process has to do: aiokafka, and whoever else connects
by asyncio, asks its loop for connections.
"""

from transport.dialing.choosing import DIRECT, choice_of
from transport.dialing.environment import environment_proxy
from transport.dialing.loop import DialingLoop, ProxyChoice, loop_factory
from transport.dialing.proxy import Proxy
from transport.dialing.trouble import ProxyTrouble

__all__ = [
    "DIRECT",
    "DialingLoop",
    "Proxy",
    "ProxyChoice",
    "ProxyTrouble",
    "choice_of",
    "environment_proxy",
    "loop_factory",
]
