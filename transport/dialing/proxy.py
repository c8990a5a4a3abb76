"""An HTTP proxy as somebody names it: its address, and as whom we ask it to let us through.

Never:    shows a password: it stands in a file, or was found in the environment, and no text or repr holds it.
Source:   RFC 7617 (Basic: a user without a colon, UTF-8).
"""

import os
import re
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path

from protocol.key_files import why_open
from schemas.errors import LocalError

PASSWORD_BYTES_MAX = 1024

_HOST = re.compile(r"[A-Za-z0-9_.:%-]{1,255}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that takes CONNECT.

    host           a name or an address, IPv6 without brackets
    user           for Basic; empty where the proxy lets everybody in
    password_file  mode 0600, one line; read at each use, so that a new password counts at once
    password       as the environment's URL had it; never from a settings file
    """

    host: str
    port: int
    user: str = ""
    password_file: Path | None = None
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            hint = "write a name or an address, without http:// and without brackets"
            raise LocalError("the proxy's host is no host name and no address", hint=hint)
        if not 0 < self.port < 65536:
            raise LocalError(
                f"the proxy's port {self.port} is none: ports are 1 to 65535", hint="3128 and 8080 are usual"
            )
        if ":" in self.user or _CONTROL.search(self.user):
            hint = "the password stands in a file of its own, named by password_file"
            raise LocalError("the proxy's user holds a colon or a control character", hint=hint)
        if self.password_file is not None and not self.user:
            raise LocalError("a password file for the proxy is named, and no user", hint="name the proxy's user too")
        if self.user and self.password_file is None and not self.password:
            raise LocalError(
                f"the proxy's user {self.user} has no password", hint="name a file of mode 0600 that holds it"
            )

    @property
    def address(self) -> str:
        """ "host:port", for people."""
        return host_port(self.host, self.port)

    def authorization(self) -> str:
        """The value of Proxy-Authorization; empty where no user is named.

        Raises LocalError, saying what to do, when the password file is missing, empty, or open to others.
        """
        if not self.user:
            return ""
        password = self.password if self.password_file is None else read_password(self.password_file)
        return "Basic " + b64encode(f"{self.user}:{password}".encode()).decode("ascii")


def host_port(host: str, port: int) -> str:
    """As a request for CONNECT names it: an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read_password(path: Path) -> str:
    """The one line of `path`. Raises LocalError as `authorization` says."""
    what = f"the file {path} with the proxy's password"
    try:
        with path.open("rb") as file:
            status, mount = os.fstat(file.fileno()), os.fstatvfs(file.fileno())
            line = file.read(PASSWORD_BYTES_MAX + 1)
    except OSError as error:
        hint = "write the password into it as its one line, and run chmod 600"
        raise LocalError(f"{what} cannot be read: {error.strerror}", hint=hint) from None
    if hint := why_open(status.st_mode, status.st_uid, os.geteuid(), read_only=bool(mount.f_flag & os.ST_RDONLY)):
        raise LocalError(f"{what} is open to others", hint=hint.format(path=path))
    try:
        password = line.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise LocalError(f"{what} is no text in UTF-8", hint="write it anew, in UTF-8") from None
    if not password or len(line) > PASSWORD_BYTES_MAX or _CONTROL.search(password):
        raise LocalError(f"{what} holds no single line with a password", hint="the password is its one line")
    return password
