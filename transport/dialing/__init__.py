"""How every connection of a process goes out: directly, or through a hospital's HTTP proxy with CONNECT.

`asyncio.Runner(loop_factory=loop_factory(choice))` is all that a process has to do: aiokafka, and whoever else connects
by asyncio, asks its loop for connections.
"""

from transport.dialing.environment import environment_proxy
from transport.dialing.loop import DialingLoop, ProxyChoice, loop_factory
from transport.dialing.proxy import Proxy
from transport.dialing.trouble import ProxyTrouble

__all__ = ["DialingLoop", "Proxy", "ProxyChoice", "ProxyTrouble", "environment_proxy", "loop_factory"]
