"""The way to the brokers, step by step: proxy, name, connection, TLS, an answer, every broker of the cluster."""

import asyncio
import socket
from collections.abc import Iterator

from schemas.errors import LocalError, TransientError
from transport.admin import COMMAND_S, within
from transport.dialing import ProxyTrouble
from transport.looking import Looking
from transport.settings import PLAINTEXT
from transport.staying.link import Link
from transport.staying.why_away import THROUGH_S, why_away
from transport.staying.why_refused import tls_trouble
from wardround.doctor.case import Case
from wardround.doctor.finding import KAFKA, NETWORK, Check, Said, Skip, ok, warning, wrong

CONNECT_S = 5.0


def _addresses(case: Case) -> Iterator[tuple[str, int]]:
    for address in case.reached.servers:
        host, _, port = address.rpartition(":")
        yield host.strip("[]"), int(port)


def _is_proxied(case: Case, host: str, port: int) -> bool:
    return case.choice is not None and case.choice.on_the_way(host, port, case.machine.environ) is not None


async def _connect(case: Case, host: str, port: int) -> None:
    """Raises OSError, TimeoutError."""
    async with asyncio.timeout(THROUGH_S if _is_proxied(case, host, port) else CONNECT_S):
        _, writer = await asyncio.open_connection(host, port)
    writer.close()


def _judged(well: list[str], troubles: list[str]) -> Said:
    """One address is enough to get on; each should do."""
    if troubles:
        return (warning if well else wrong)("; ".join(dict.fromkeys(troubles)))
    return ok("; ".join(well))


async def proxy(case: Case) -> Said:
    if case.unproxied:
        return wrong(case.unproxied)
    proxied = [(host, port) for host, port in _addresses(case) if _is_proxied(case, host, port)]
    if not proxied:
        return ok("no proxy is on the way")
    well, troubles = list[str](), list[str]()
    for host, port in proxied:
        try:
            await _connect(case, host, port)
            well.append(f"the proxy lets through to {host}:{port}")
        except ProxyTrouble as trouble:
            troubles.append(str(trouble))
        except TimeoutError:
            troubles.append(f"the proxy does not let through to {host}:{port} in {THROUGH_S:g} s")
    return _judged(well, troubles)


async def name(case: Case) -> Said:
    direct = [(host, port) for host, port in _addresses(case) if not _is_proxied(case, host, port)]
    if not direct:
        raise Skip("not needed: the proxy looks names up (`proxy`)")
    well, troubles = list[str](), list[str]()
    for host, port in direct:
        try:
            async with asyncio.timeout(CONNECT_S):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            well.append(f"{host} is {', '.join(sorted({str(one[4][0]) for one in found}))}")
        except socket.gaierror as error:
            troubles.append(f"the name {host} has no address here ({error.strerror})")
        except TimeoutError:
            troubles.append(f"the name {host} cannot be looked up just now")
    return _judged(well, troubles)


async def reach(case: Case) -> Said:
    well, troubles = list[str](), list[str]()
    for host, port in _addresses(case):
        try:
            await _connect(case, host, port)
            well.append(f"{host}:{port} takes connections")
        except (OSError, TimeoutError) as error:
            known = await why_away([f"{host}:{port}"])
            troubles.append(str(known or f"no way to {host}:{port}: {error}"))
    return _judged(well, troubles)


async def tls(case: Case) -> Said:
    if case.reached.security == PLAINTEXT:
        raise Skip("not needed: `encryption` is left out on purpose")
    context = case.reached.context
    assert context is not None
    well, troubles = list[str](), list[str]()
    for host, port in _addresses(case):
        try:
            trouble = await tls_trouble(host, port, context, connect_s=THROUGH_S)
        except (OSError, TimeoutError) as error:
            troubles.append(f"{host}:{port}: {error or 'no answer'}")
            continue
        if trouble is None:
            well.append(f"{host}:{port} shows a certificate of this federation, takes ours, and speaks TLS 1.3")
        else:
            troubles.append(str(trouble))
    return _judged(well, troubles)


async def broker(case: Case) -> Said:
    case.link = Link(case.reached)
    looking = Looking(case.reached, case.link)
    try:
        await within(looking.open(), COMMAND_S, case.link)
        case.seen = await looking.cluster(())
    except (LocalError, TransientError):
        await looking.close()
        raise
    case.looking = looking
    return ok(f"a broker answers, and tells of {', '.join(sorted(case.seen.brokers.values()))}")


async def every_broker(case: Case) -> Said:
    assert case.seen is not None
    context, addresses = case.reached.context, sorted(case.seen.brokers.values())
    found = await asyncio.gather(*(why_away([address], context) for address in addresses))
    told = dict(zip(addresses, found, strict=True))
    troubles = [f"clients are sent to {at} (advertised.listeners), and {why}" for at, why in told.items() if why]
    if troubles:
        return wrong("; ".join(troubles))
    return ok(f"{', '.join(addresses)}: each is reached")


ALL = (
    Check(
        "proxy",
        "a connection through the proxy",
        "The proxy is not reached, wants something, or does not let through to the broker.",
        "mend proxy, proxy_user and proxy_password_file under [kafka], or have the proxy allow CONNECT to the broker",
        NETWORK,
        proxy,
        ("settings-file",),
    ),
    Check(
        "name",
        "the broker's name is looked up",
        "The broker's name has no address here.",
        "is bootstrap written right? If so, have the name made known here, or name the hospital's proxy",
        NETWORK,
        name,
        ("proxy",),
    ),
    Check(
        "reach",
        "a connection to the broker",
        "Nobody answers at the broker's address, or something on the way does not let through.",
        "is bootstrap written right, and does the broker run? If so, have the firewall let out to host and port",
        NETWORK,
        reach,
        ("proxy", "name"),
    ),
    Check(
        "tls",
        "a handshake with the broker",
        "Something on the way opens TLS, or the broker and this member do not believe each other's certificate.",
        "if something opens TLS, ask for an exception for the broker's address; else compare ca.pem and the "
        "certificate with the registrar's",
        NETWORK,
        tls,
        ("reach", "certificate", "certificate-dates"),
    ),
    Check(
        "broker",
        "a question to the broker",
        "The broker takes a connection and does not answer as it should.",
        "look into the broker's own log",
        KAFKA,
        broker,
        ("reach", "tls"),
    ),
    Check(
        "every-broker",
        "a connection to each broker of the cluster",
        "The first address answers, and one to which it sends its clients does not.",
        "have the firewall or proxy let out to every broker, or have advertised.listeners mended",
        NETWORK,
        every_broker,
        ("broker",),
    ),
)
