"""How settings and commands name a proxy: "none", "environment", or http://host:port, and a user with a password."""

from pathlib import Path
from urllib.parse import urlsplit

from schemas.errors import LocalError
from transport.dialing.loop import ProxyChoice
from transport.dialing.proxy import Proxy

DIRECT = "none"
_HINT = 'write "none", "environment" (HTTPS_PROXY, NO_PROXY), or "http://host:port"'


def choice_of(words: str, user: str = "", password_file: Path | None = None) -> ProxyChoice:
    """What `words` choose. Raises LocalError for what names no proxy, a password in it, or a user without a proxy."""
    if words in (DIRECT, "environment"):
        if user or password_file is not None:
            raise LocalError(
                f'a user or password file for the proxy is named, and the proxy is "{words}"',
                hint="name the proxy itself, http://host:port; the environment's URL may hold user and password",
            )
        return ProxyChoice(words)
    try:
        parts = urlsplit(words)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    else:
        if parts.password is not None or parts.username is not None:
            raise LocalError(
                "the proxy is named with a user in it, which shows in logs",
                hint="name user and password file by themselves: proxy_user, proxy_password_file",
            )
        if parts.scheme != "http" or parts.path not in ("", "/") or parts.query or parts.fragment:
            host = None
    if not host or port is None:
        raise LocalError(f'"{words}" names no HTTP proxy', hint=_HINT)
    return ProxyChoice("named", Proxy(host, port, user, password_file))
