"""What stands on the machines: the hospital's squid with Basic authentication, the federation's HAProxy on 443.

Knows:    squid looks names up in a file and asks a name service of its own, never this machine's.
"""

import os
import pwd
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ops.sni import Limits, haproxy_config
from tests.network.names import PORT as NAMES_PORT
from tests.network.net import FED, FED_IP, PROX, PROX_IP, Net

PORT = 443
PROXY_PORT = 3128
USER, PASSWORD = "site-1", "s3cret of the proxy"
LOOKUP_S = 1  # squid's dns_timeout, 30 by default: it gives a name service up that says nothing, in 6 s here

_SQUID = """\
http_port {ip}:{port}
pid_filename none
hosts_file {folder}/hosts
dns_nameservers 127.0.0.1
dns_timeout {lookup_s} seconds
auth_param basic program {helper} {folder}/passwords
auth_param basic realm hospital
auth_param basic children 2 startup=1
acl known proxy_auth REQUIRED
acl tls port 443
acl CONNECT method CONNECT
http_access deny !CONNECT
http_access deny CONNECT !tls
http_access allow CONNECT known
http_access deny all
access_log stdio:{folder}/access.log
cache_log {folder}/cache.log
cache deny all
cache_mem 8 MB
memory_cache_shared off
pinger_enable off
max_filedescriptors 1024
coredump_dir {folder}
shutdown_lifetime 1 seconds
"""


@dataclass(frozen=True, slots=True)
class Squid:
    """The hospital's proxy. `password_file` holds what `USER` says to it."""

    folder: Path
    password_file: Path
    address: str = f"{PROX_IP}:{PROXY_PORT}"

    def log(self) -> str:
        """One line for each request that has ended."""
        return (self.folder / "access.log").read_text()


def start_squid(net: Net, squid: str, names: Iterable[str]) -> Squid:
    """Start it where it knows `names` of the federation and no others."""
    folder = net.folder / "squid"
    folder.mkdir(mode=0o755)
    (folder / "hosts").write_text(f"{FED_IP} {' '.join(names)}\n")
    hashed = subprocess.run(
        ["openssl", "passwd", "-apr1", "-stdin"], input=PASSWORD, check=True, capture_output=True, text=True, timeout=20
    ).stdout
    (folder / "passwords").write_text(f"{USER}:{hashed}")
    helper = next(str(path) for path in Path("/usr/lib").glob("squid*/basic_ncsa_auth"))
    config = folder / "squid.conf"
    config.write_text(_SQUID.format(ip=PROX_IP, port=PROXY_PORT, folder=folder, lookup_s=LOOKUP_S, helper=helper))
    _give(folder, "proxy")
    net.start(PROX, [sys.executable, "-m", "tests.network.names"], port=NAMES_PORT)
    net.start(PROX, [squid, "-N", "-n", f"w{folder.stat().st_ino}", "-f", str(config)], port=PROXY_PORT)
    password_file = net.folder / "proxy-password"
    password_file.touch(mode=0o600)
    password_file.write_text(PASSWORD + "\n")
    return Squid(folder, password_file)


def start_haproxy(
    net: Net,
    haproxy: str,
    brokers: Mapping[str, str],
    *,
    port: int = PORT,
    bootstrap: str = "",
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> subprocess.Popen[bytes]:
    """Start it before `brokers`: name -> "host:port" as the federation's host sees it."""
    config = net.folder / f"haproxy-{port}.cfg"
    config.write_text(haproxy_config(port, brokers, bootstrap=bootstrap, bind=FED_IP, limits=limits))
    return net.start(FED, [haproxy, "-db", "-f", str(config)], port=port)


def _give(folder: Path, user: str) -> None:
    """Squid leaves root behind, and writes its logs as Debian's user of that name."""
    owner = pwd.getpwnam(user)
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o600)
        os.chown(path, owner.pw_uid, owner.pw_gid)
