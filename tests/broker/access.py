"""Brokers of tests over TLS with certificates both ways, under one authority; and how tests reach them.

Whoever is not given a name of its own is the registrar, who may do everything.
"""

import functools
import tempfile
from pathlib import Path
from typing import Any

from ops.kafka import Broker, BrokerKeys
from ops.kafka.ports import HOST
from protocol.tls.files import TlsKey
from protocol.tls.requests import new_tls_key
from registry.keyfiles import make_member_keys
from registry.pki.authority import Authority, utc_now
from registry.pki.issuing import broker_keys, certify, install_beside
from registry.pki.profiles import REGISTRAR
from schemas.records import Role
from transport.settings import KafkaSettings


@functools.cache
def authority() -> Authority:
    """The authority of every broker of this process."""
    return Authority.new("tests", utc_now())


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="wardround-tests-tls-")


@functools.cache
def registrar_tls_folder() -> Path:
    """The registrar's keys for TLS."""
    folder, key = Path(_folder().name) / "registrar.tls", new_tls_key()
    leaf = authority().issue(REGISTRAR, "registrar", key.public_key(), utc_now())
    TlsKey(key, (leaf,), authority().roots).save_for_client(folder)
    return folder


def member_tls(folder: Path, name: str, role: Role = Role.SITE) -> Path:
    """A member's keys for TLS below `folder`, beside its others, which are made too."""
    card = make_member_keys(name, folder)
    install_beside(folder / f"{name}.pub", certify(authority(), card, [role], utc_now()))
    return folder / f"{name}.tls"


def broker_of_tests() -> BrokerKeys:
    """Keys for one more broker on the loopback."""
    return BrokerKeys(*broker_keys(authority(), [HOST, "localhost"], utc_now()))


def start_broker(folder: Path, **how: Any) -> Broker:
    """As Broker.start, with keys under the tests' authority."""
    return Broker.start(folder, keys=broker_of_tests(), **how)


def reach(bootstrap: str, client_id: str, **how: Any) -> KafkaSettings:
    """How the registrar of tests reaches a broker of theirs."""
    return KafkaSettings(bootstrap, client_id, tls=registrar_tls_folder(), **how)
