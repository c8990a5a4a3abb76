"""Which proxy the environment names for a host: HTTPS_PROXY and NO_PROXY, as other tools of the machine read them.

Never:    shows what a variable holds: people write passwords into it.
"""

import ipaddress
import re
import urllib.request
from collections.abc import Mapping
from urllib.parse import SplitResult, unquote, urlsplit

from schemas.errors import LocalError
from transport.dialing.proxy import Proxy, host_port

_SHAPE = "write http://host:port, or http://user:password@host:port with special characters percent-encoded"


def environment_proxy(environ: Mapping[str, str], host: str, port: int) -> Proxy | None:
    """The proxy on the way to `host`; None where the environment names none for it.

    The lower-case variable counts before the other, also an empty one. Raises LocalError where HTTPS_PROXY names
    something else than an HTTP proxy, or is no URL.
    """
    url = _variable(environ, "https_proxy")
    if not url or bypassed(_variable(environ, "no_proxy"), host, port):
        return None
    return _named(url)


def bypassed(no_proxy: str, host: str, port: int) -> bool:
    """Whether NO_PROXY leaves `host` out.

    For names urllib's rules hold: an entry counts for the name and for all below it, with or without a leading dot,
    with or without a port. urllib knows neither `*` among others, nor `*.name`, nor blanks between entries, and takes
    addresses for names: networks (10.0.0.0/8), IPv6 and brackets are looked at here.
    """
    entries = [entry.removeprefix("*") if entry != "*" else entry for entry in re.split(r"[\s,]+", no_proxy) if entry]
    if "*" in entries:
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        name = f"{host.rstrip('.')}:{port}"
        return bool(urllib.request.proxy_bypass(name, {"no": ",".join(entries)}))
    return any(_holds(entry, address, port) for entry in entries)


def _holds(entry: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> bool:
    """Whether an entry is this address, with or without its port, or a network that has it."""
    if entry in (host_port(str(address), port), f"[{address}]"):
        return True
    try:
        return address in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False  # a name, or another port


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, environ.get(name.upper(), "")).strip()


def _named(url: str) -> Proxy:
    """Raises LocalError; what was written appears in no message."""
    scheme, found, _ = url.partition("://")
    scheme = scheme.lower() if found else "http"
    if scheme.startswith("socks"):
        hint = "ask IT for the address of an HTTP proxy that allows CONNECT, or for a way without a proxy"
        raise LocalError("HTTPS_PROXY names a SOCKS proxy, and only HTTP proxies with CONNECT are spoken", hint=hint)
    if scheme == "https":
        hint = "name its plain port, http://host:port: what goes through the proxy is TLS to the broker anyway"
        raise LocalError("HTTPS_PROXY names a proxy that speaks TLS itself, which is not spoken here", hint=hint)
    if scheme != "http":
        raise LocalError("HTTPS_PROXY is no URL of an HTTP proxy", hint=_SHAPE)
    try:
        parts = urlsplit(url if found else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise LocalError("HTTPS_PROXY is no URL", hint=_SHAPE) from None
    if not host or port is None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise LocalError("HTTPS_PROXY does not name a host and a port, and nothing else", hint=_SHAPE)
    return _proxy(parts, host, port)


def _proxy(parts: SplitResult, host: str, port: int) -> Proxy:
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    try:
        return Proxy(host, port, user, password=password)
    except LocalError as error:
        raise LocalError(f"HTTPS_PROXY: {error}", hint=_SHAPE) from None
