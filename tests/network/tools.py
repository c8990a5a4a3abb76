"""Programs of the system that a test needs: on a desk without them it skips and says so, under .ci/run it fails."""

import os
import shutil
import subprocess
from typing import NoReturn

import pytest

_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
PACKAGES = {"ip": "iproute2", "squid": "squid", "haproxy": "haproxy"}  # Debian's; .ci/packages installs them


def needed(*programs: str) -> list[str]:
    """Paths of `programs`."""
    found = {name: shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SBIN}") for name in programs}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        packages = " ".join(PACKAGES.get(name, name) for name in missing)
        without(f"{', '.join(missing)} not installed here: apt-get install {packages}")
    return [path for path in found.values() if path is not None]


def need_namespaces(ip: str) -> None:
    """The right to make a network of its own: root, and in containers CAP_SYS_ADMIN too. `ip` is iproute2's command."""
    if os.geteuid() != 0:
        without("network namespaces are made by root alone")
    probe = f"wardround-probe-{os.getpid()}"
    made = subprocess.run([ip, "netns", "add", probe], capture_output=True, text=True, timeout=20)
    subprocess.run([ip, "netns", "delete", probe], capture_output=True, timeout=20)
    if made.returncode != 0:
        without(f"no network namespace can be made here: {made.stderr.strip()}")


def without(reason: str) -> NoReturn:
    """Skip; fail where WARDROUND_REQUIRE_NETWORK=1."""
    if os.environ.get("WARDROUND_REQUIRE_NETWORK") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
