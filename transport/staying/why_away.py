"""Why a broker is not reached, told by looking: no such name, nobody there, no answer, or somebody who is no broker.

Knows:    what servers of another kind answer to a client of Kafka, and what a client sees where a name has no address.
Never:    is on the way of anything: it looks when something failed already, for a few seconds at most.
Source:   https://kafka.apache.org/protocol#protocol_api_keys (ApiVersions, 18); RFC 8446 section 5.1 (records of TLS).
"""

import asyncio
import contextlib
import math
import socket
import ssl
from collections.abc import Iterable

from transport.dialing import ProxyTrouble
from transport.dialing.loop import is_proxied
from transport.staying.trouble import Trouble
from transport.staying.why_refused import tls_trouble

START_S = 3.0  # what a broker takes that is just being started
THROUGH_S = 60.0  # a proxy looks for a name that it does not know for half a minute
LOOK_S = 2.0  # for each step; a server on the next desk answers within milliseconds
_ASK_KAFKA = bytes.fromhex("0000000c0012000000000001") + b"\x00\x02ww"  # ApiVersions 0, correlation 1, client id "ww"
_ASK_HTTP = b"GET / HTTP/1.0\r\n\r\n"
_TLS = (b"\x15\x03", b"\x16\x03")  # an alert, or a handshake


async def why_away(addresses: Iterable[str], context: ssl.SSLContext | None = None) -> Trouble | None:
    """What is wrong with "host:port" addresses; None when a broker answers at one of them.

    context   what connections are opened with; None: without TLS, on purpose
    """
    found = await asyncio.gather(*(_look(address, context) for address in addresses))
    wrong = [trouble for trouble in found if trouble is not None]
    if len(wrong) < len(found):
        return None
    return Trouble(
        "; ".join(dict.fromkeys(map(str, wrong))), max(trouble.patience_s for trouble in wrong), wrong[0].kind
    )


async def _look(address: str, context: ssl.SSLContext | None) -> Trouble | None:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if is_proxied(host, int(port)):  # names are the proxy's affair, and its answers take their time
        return await _look_through(address, host, int(port), context)
    try:
        async with asyncio.timeout(LOOK_S):
            await asyncio.get_running_loop().getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        unknown = error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
        said = f"the name {host} has no address here" if unknown else f"the name {host} cannot be looked up just now"
        return Trouble(said, patience_s=0.0 if unknown else math.inf, kind="name")
    except TimeoutError:
        return Trouble(f"the name {host} cannot be looked up just now", kind="name")
    try:
        if context is not None:
            return await tls_trouble(host, int(port), context)
        answer = await _answer(host, int(port), _ASK_KAFKA)
    except ConnectionRefusedError:
        return Trouble(f"nobody listens at {address}: the broker does not run, or has another port", START_S)
    except TimeoutError:
        return Trouble(f"{address} does not answer a connection: is there a firewall between?")
    except OSError as error:
        return Trouble(f"no way to {address}: {error.strerror or error}")
    return await _judged(address, host, int(port), answer)


async def _look_through(address: str, host: str, port: int, context: ssl.SSLContext | None) -> Trouble | None:
    """As `_look`, through a proxy, which says what hinders it."""
    try:
        if context is not None:
            return await tls_trouble(host, port, context, connect_s=THROUGH_S)
        return await _judged(address, host, port, await _answer(host, port, _ASK_KAFKA, connect_s=THROUGH_S))
    except ProxyTrouble as trouble:
        return Trouble(str(trouble), trouble.patience_s, "proxy")
    except TimeoutError:
        return Trouble(f"{address} does not answer a connection through the proxy")
    except OSError as error:
        return Trouble(f"no way to {address} through the proxy: {error.strerror or error}")


async def _judged(address: str, host: str, port: int, answer: bytes | None) -> Trouble | None:
    """What answered; `answer` None: the connection is open and says nothing, b"": it was closed."""
    if answer is not None and answer[4:8] == b"\x00\x00\x00\x01":
        return None
    if answer is not None and answer.startswith(b"HTTP/"):
        return Trouble(f"a web server listens at {address}, and no broker", patience_s=0.0, kind="server")
    if (answer or b"").startswith(_TLS) or await _speaks_tls(host, port):
        return Trouble(
            f"{address} speaks TLS, and TLS is left out on purpose here: leave `plaintext-on-purpose` out",
            patience_s=0.0,
            kind="tls",
        )
    with contextlib.suppress(OSError, TimeoutError):
        if ((await _answer(host, port, _ASK_HTTP)) or b"").startswith(b"HTTP/"):
            return Trouble(f"a web server listens at {address}, and no broker", patience_s=0.0, kind="server")
    if answer is None:
        return Trouble(f"{address} takes a connection and answers nothing: the broker hangs, or this is another server")
    return Trouble(f"{address} does not answer as a broker does: is it another server?")


async def _answer(host: str, port: int, question: bytes, *, connect_s: float = 0.0) -> bytes | None:
    """The first bytes that come back. Raises OSError, and TimeoutError when there is no connection."""
    async with asyncio.timeout(connect_s or LOOK_S):
        reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(question)
        async with asyncio.timeout(LOOK_S):
            return await reader.read(64)
    except TimeoutError:
        return None
    except OSError:
        return b""
    finally:
        writer.close()


async def _speaks_tls(host: str, port: int) -> bool:
    """Whether a handshake gets on; whom we would speak to is of no interest here, nothing is sent."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(LOOK_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLError as error:
        return "WRONG_VERSION_NUMBER" not in str(error) and "record layer" not in str(error).lower()
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
