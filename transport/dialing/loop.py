"""An event loop that decides for each connection of its process how it goes out, and keeps it alive on its way.

Knows:    firewalls forget connections on which nothing happens, most after minutes.
Never:    looks a name up that the proxy is asked for: a hospital's own DNS often knows no name outside.
Source:   RFC 8305 (happy eyeballs), tcp(7).
"""

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
from asyncio.trsock import TransportSocket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from schemas.errors import LocalError
from transport.dialing.connect import connect
from transport.dialing.environment import environment_proxy
from transport.dialing.proxy import Proxy
from transport.dialing.trouble import ProxyTrouble

CONNECT_S = 5.0  # to the proxy, which is near, with the lookup of its name
_AFTER_THE_END = "APPLICATION_DATA_AFTER_CLOSE_NOTIFY"
NEXT_ADDRESS_S = 0.25  # until the next address of a name is tried beside the one before
KEEPALIVE = {socket.TCP_KEEPIDLE: 60, socket.TCP_KEEPINTVL: 15, socket.TCP_KEEPCNT: 4}  # seconds, seconds, probes

_KINDS = ("none", "environment", "named")
_OVER_A_SOCKET = ("ssl", "server_hostname", "ssl_handshake_timeout", "ssl_shutdown_timeout")

P = TypeVar("P", bound=asyncio.BaseProtocol)


@dataclass(frozen=True, slots=True)
class ProxyChoice:
    """Whether connections go through a proxy.

    kind   none: directly; environment: as HTTPS_PROXY and NO_PROXY say; named: through `proxy`, all but the loopback
    """

    kind: str = "none"
    proxy: Proxy | None = None

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise LocalError(f'no proxy is chosen by "{self.kind}"', hint=f"one of: {', '.join(_KINDS)}")
        if (self.proxy is not None) != (self.kind == "named"):
            raise LocalError('a proxy is named where the choice is "named", and nowhere else')

    def on_the_way(self, host: str, port: int, environ: Mapping[str, str]) -> Proxy | None:
        """The proxy on the way to `host`, None for directly. Raises LocalError where the environment makes no sense."""
        if self.kind == "none" or is_loopback(host):
            return None
        return environment_proxy(environ, host, port) if self.kind == "environment" else self.proxy


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine by its very name; nothing is looked up."""
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        name = host.lower().rstrip(".")
        return name in ("", "localhost") or name.endswith(".localhost")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address.is_loopback if mapped is None else mapped.is_loopback


def is_proxied(host: str, port: int) -> bool:
    """Whether the running loop dials `host` through a proxy."""
    loop = asyncio.get_running_loop()
    return isinstance(loop, DialingLoop) and loop.proxy_to(host, port) is not None


def loop_factory(
    choice: ProxyChoice, environ: Mapping[str, str] = os.environ
) -> Callable[[], asyncio.AbstractEventLoop]:
    """For `asyncio.Runner(loop_factory=...)`. The environment counts as it is now.

    Raises LocalError where the proxy that is chosen cannot be used: its password file, or what HTTPS_PROXY holds.
    """
    environ = dict(environ)
    proxy = choice.on_the_way("wardround.invalid", 443, environ)
    if proxy is not None:
        proxy.authorization()
    return lambda: DialingLoop(choice, environ)


class DialingLoop(asyncio.SelectorEventLoop):
    """Dials directly, or through the proxy that `choice` has on the way."""

    def __init__(self, choice: ProxyChoice, environ: Mapping[str, str]) -> None:
        super().__init__()
        self._choice = choice
        self._environ = environ

    def proxy_to(self, host: str, port: int) -> Proxy | None:
        """The proxy on the way to `host`; None for directly."""
        return self._choice.on_the_way(host, port, self._environ)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """As asyncio's, but for what a broker still sends while a TLS connection to it is being closed."""
        error = context.get("exception")
        if not (isinstance(error, ssl.SSLError) and getattr(error, "reason", "") == _AFTER_THE_END):
            super().call_exception_handler(context)

    async def create_connection(
        self, protocol_factory: Callable[[], P], host: str | None = None, port: int | None = None, **more: Any
    ) -> tuple[asyncio.Transport, P]:
        """As asyncio's; through a proxy it raises ProxyTrouble too. Errors of TLS are the server's, and pass.

        Through a proxy only what concerns TLS counts of `more`: addresses are the proxy's affair.
        """
        proxy = None
        at: dict[str, Any] = {"host": host, "port": port}
        if host is not None and port is not None and more.get("sock") is None:
            proxy = self.proxy_to(host, port)
            more.setdefault("happy_eyeballs_delay", NEXT_ADDRESS_S)
        if proxy is None or host is None or port is None:
            transport, protocol = await super().create_connection(protocol_factory, **more, **at)
            keep_alive(transport.get_extra_info("socket"))
            return transport, protocol
        more = {name: value for name, value in more.items() if name in _OVER_A_SOCKET}
        if more.get("ssl") and more.get("server_hostname") is None:
            more["server_hostname"] = host
        return await self._through(proxy, host, port, protocol_factory, more)

    async def _through(
        self, proxy: Proxy, host: str, port: int, protocol_factory: Callable[[], P], more: dict[str, Any]
    ) -> tuple[asyncio.Transport, P]:
        sock = await self._dial(proxy)
        try:
            await connect(sock, proxy, host, port)
        except BaseException:
            sock.close()
            raise
        try:
            return await super().create_connection(protocol_factory, sock=sock, **more)
        except OSError:
            raise  # its transport closes the socket
        except Exception:
            sock.close()  # refused before there was a transport: options that make no sense, or the factory
            raise

    async def _dial(self, proxy: Proxy) -> socket.socket:
        """A socket that is connected to the proxy. Raises ProxyTrouble."""
        try:
            async with asyncio.timeout(CONNECT_S):
                transport, _ = await super().create_connection(
                    _Quiet, proxy.host, proxy.port, happy_eyeballs_delay=NEXT_ADDRESS_S
                )
        except TimeoutError:
            text = f"the proxy {proxy.address} takes no connection: is there a firewall between, or is it away?"
            raise ProxyTrouble(text) from None
        except OSError as error:
            raise _unreached(proxy, error) from None
        try:
            sock: socket.socket = transport.get_extra_info("socket").dup()
        finally:
            transport.abort()  # its own handle of the socket; the connection lives on in ours
        keep_alive(sock)
        return sock


class _Quiet(asyncio.Protocol):
    """Takes nothing off its socket, which somebody else will read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()


def keep_alive(sock: socket.socket | TransportSocket) -> None:
    """Have the system look after an idle TCP connection, and send small requests at once."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):  # it broke meanwhile, which whoever uses it is told
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for option, value in KEEPALIVE.items():
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _unreached(proxy: Proxy, error: OSError) -> ProxyTrouble:
    if isinstance(error, socket.gaierror):
        if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
            return ProxyTrouble(f"the proxy's name {proxy.host} has no address here: is it written right?", 0.0)
        return ProxyTrouble(f"the proxy's name {proxy.host} cannot be looked up just now")
    if isinstance(error, ConnectionRefusedError):
        return ProxyTrouble(f"nobody listens at the proxy's address {proxy.address}: is it down, or the port wrong?")
    return ProxyTrouble(f"no way to the proxy {proxy.address}: {error.strerror or error}")
