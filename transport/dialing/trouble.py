"""What a proxy's answer means, and what to ask the hospital's IT for.

Knows:    the statuses that proxies give to CONNECT, and which kinds of authentication we do not speak.
Never:    repeats more of what a stranger wrote than a few printable characters.
Source:   RFC 9110 sections 9.3.6 (CONNECT), 11.7.1 (Proxy-Authenticate) and 15.
"""

import math
import re
from dataclasses import dataclass

_TLS = (b"\x15\x03", b"\x16\x03")  # an alert, or a handshake
_STRANGE = re.compile(r"[^ -~]")
_SCHEMES = re.compile(r"(?:^|,)\s*([A-Za-z][A-Za-z0-9-]*)(?=\s|,|$)")
_SAID_MAX = 60
_NO_NAME = ("ERR_DNS_FAIL", "ERR_CANNOT_FORWARD")  # the second, with status 500, from squid 5.7 to CONNECT
_ASK_IT = (
    "ask IT for one of three: Basic authentication for this host, an exception for this machine by its source "
    "address, or a local relay that authenticates for it"
)


class ProxyTrouble(ConnectionError):  # noqa: N818 - named for what happened
    """Why the proxy did not let a connection through.

    patience_s   how long it makes sense that a person waits: 0 where somebody has to change a setting
    """

    def __init__(self, text: str, patience_s: float = math.inf) -> None:
        super().__init__(text)
        self.patience_s = patience_s


@dataclass(frozen=True, slots=True)
class Answer:
    """What a proxy answered.

    schemes   names of the ways to authenticate that it offers, as it wrote them
    squid     squid's own word for what went wrong (X-Squid-Error), or empty
    """

    status: int
    reason: str
    schemes: tuple[str, ...] = ()
    squid: str = ""

    @classmethod
    def parse(cls, head: bytes) -> "Answer | None":
        """From status line and headers; None where this is no HTTP."""
        status_line, *lines = head.decode("latin-1").splitlines() or [""]
        found = re.fullmatch(r"HTTP/1\.[01] ([1-5][0-9][0-9])(?: (.*))?", status_line.rstrip())
        if found is None:
            return None
        headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        offers = [value for name, value in headers if name == "proxy-authenticate"]
        squid = next((value for name, value in headers if name == "x-squid-error"), "")
        schemes = tuple(dict.fromkeys(_printable(scheme) for offer in offers for scheme in _SCHEMES.findall(offer)))
        return cls(int(found[1]), _printable(found[2] or ""), schemes, _printable(squid).partition(" ")[0])

    def __str__(self) -> str:
        return f"{self.status} {self.reason}".strip()

    def trouble(self, proxy: str, target: str, *, authorized: bool) -> ProxyTrouble:
        """What this answer means that is no success. `authorized`: a user and a password were sent."""
        if self.status == 407:
            return self._wants(f"the proxy {proxy}", authorized=authorized)
        said = f"the proxy {proxy} answers {self} to a connection to {target}"
        if self.status == 403:
            return ProxyTrouble(f"{said}: it forbids that; ask IT to allow CONNECT to {target}", 0.0)
        if self.squid in _NO_NAME:
            return ProxyTrouble(f"{said}: it finds no address for that name; is it written right, and in public DNS?")
        if self.status in (502, 503, 504):
            return ProxyTrouble(f"{said}: it does not reach it; the federation may be away, or the proxy's own way out")
        if self.status in (408, 429) or self.status >= 500:
            return ProxyTrouble(f"{said}: it cannot serve it just now")
        if self.status < 400:
            return ProxyTrouble(f"{said}: it wants somebody to log in on a web page; ask IT for a proxy without", 0.0)
        return ProxyTrouble(f"{said}: is it a web server, or a proxy without CONNECT? Check host and port", 0.0)

    def _wants(self, proxy: str, *, authorized: bool) -> ProxyTrouble:
        basic = "basic" in (scheme.lower() for scheme in self.schemes)
        if basic and authorized:
            return ProxyTrouble(f"{proxy} refuses the user and the password (407): are both right, and in force?", 0.0)
        if basic:
            return ProxyTrouble(f"{proxy} wants a user and a password (407): name the user and the password file", 0.0)
        offers = f"offers only {', '.join(self.schemes)}" if self.schemes else "does not say how"
        return ProxyTrouble(
            f"{proxy} wants us to authenticate (407) and {offers}, which is not spoken here: {_ASK_IT}", 0.0
        )


def no_http(proxy: str, head: bytes) -> ProxyTrouble:
    """What answers something else than HTTP."""
    if head.startswith(_TLS):
        return ProxyTrouble(f"{proxy} speaks TLS itself: name the proxy's plain HTTP port", 0.0)
    return ProxyTrouble(f"{proxy} does not answer as an HTTP proxy does: check its host and port", 0.0)


def _printable(text: str) -> str:
    return _STRANGE.sub("?", text)[:_SAID_MAX]
