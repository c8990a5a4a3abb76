"""Machines for a file of tests, torn down whatever happens."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.net import Net
from tests.network.tools import need_namespaces, needed


@pytest.fixture(scope="module")
def net() -> Iterator[Net]:
    """Three machines, without any server on them."""
    (ip,) = needed("ip")
    need_namespaces(ip)
    folder = Path(tempfile.mkdtemp(prefix="wardround-net-"))
    folder.chmod(0o711)  # servers that leave root behind have their own folders in it
    net = Net(ip, folder)
    try:
        net.up()
        yield net
    finally:
        net.down()
        shutil.rmtree(folder, ignore_errors=True)
