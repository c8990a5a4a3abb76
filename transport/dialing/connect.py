"""Asks a proxy for a connection by CONNECT, over a socket that is open already; every step ends in bounded time.

Never:    reads a byte behind the empty line: what comes there belongs to whoever uses the connection.
Source:   RFC 9110 section 9.3.6.
"""

import asyncio
import re
import socket

from schemas.errors import LocalError
from transport.dialing.proxy import Proxy, host_port
from transport.dialing.trouble import Answer, ProxyTrouble, no_http

ANSWER_S = 40.0  # squid looks for a name that nobody knows for 35 s
ANSWER_BYTES_MAX = 16 * 1024

_HTTP = b"HTTP/"
_HOST = re.compile(r"[A-Za-z0-9_.:%-]{1,255}")  # a broker names hosts: none may write a header of its own


def request(proxy: Proxy, host: str, port: int) -> bytes:
    """The request for a way to `host`. Raises ProxyTrouble where there can be none."""
    if not _HOST.fullmatch(host):
        raise ProxyTrouble(f"{host!a:.80} is no host name that a proxy can be asked for", 0.0)
    try:
        authorization = proxy.authorization()
    except LocalError as error:
        raise ProxyTrouble(f"{error}; {error.hint}", 0.0) from None
    target = host_port(host, port)
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if authorization:
        lines.append(f"Proxy-Authorization: {authorization}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


async def connect(sock: socket.socket, proxy: Proxy, host: str, port: int) -> None:
    """Make `sock`, which is connected to the proxy, a connection to `host`. Raises ProxyTrouble; closes nothing."""
    loop, asked, target = asyncio.get_running_loop(), request(proxy, host, port), host_port(host, port)
    try:
        async with asyncio.timeout(ANSWER_S):
            await loop.sock_sendall(sock, asked)
            while (answer := await _answer(sock, proxy.address)).status < 200:  # it says that it is at work
                pass
    except TimeoutError:
        raise ProxyTrouble(
            f"the proxy {proxy.address} does not answer whether it connects to {target}: it may look for a name that "
            "it does not know, or hang"
        ) from None
    except ProxyTrouble:
        raise
    except OSError as error:
        raise ProxyTrouble(f"the proxy {proxy.address} broke the connection off: {error.strerror or error}") from None
    if answer.status >= 300:
        raise answer.trouble(proxy.address, target, authorized=bool(proxy.user))


async def _answer(sock: socket.socket, proxy: str) -> Answer:
    """One status line with its headers. It is read byte by byte, since no socket takes back what was read too much."""
    loop, head = asyncio.get_running_loop(), bytearray()
    while not head.endswith((b"\r\n\r\n", b"\n\n")):
        piece = await loop.sock_recv(sock, 1)
        if not piece:
            if head:
                raise no_http(proxy, bytes(head))
            raise ProxyTrouble(f"{proxy} closed the connection without an answer: it is busy, or no HTTP proxy")
        head += piece
        if len(head) >= len(_HTTP) and not head.startswith(_HTTP):
            raise no_http(proxy, bytes(head))
        if len(head) > ANSWER_BYTES_MAX:
            raise ProxyTrouble(f"the proxy {proxy} answers with more than {ANSWER_BYTES_MAX} bytes of headers", 0.0)
    answer = Answer.parse(bytes(head))
    if answer is None:
        raise no_http(proxy, bytes(head))
    return answer
