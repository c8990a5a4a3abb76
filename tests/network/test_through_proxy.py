"""A hospital's host reaches the federation through squid and HAProxy, and in no other way."""

import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ops.sni import Limits
from tests.network.net import FED, FED_IP, HOSP, HOSP_IP, PROX, Net
from tests.network.servers import USER, Squid, start_haproxy, start_squid
from tests.network.tls import self_signed
from tests.network.tools import needed

NAMES = {"b1.fed.test": 9192, "b2.fed.test": 9292}
AWAY = HOSP_IP  # where nobody listens
STRANGE = "strange.fed.test"  # the proxy knows it, and the federation does not

pytestmark = pytest.mark.timeout(120)


@dataclass(frozen=True, slots=True)
class Ward:
    """The hospital's host as its users see it."""

    net: Net
    squid: Squid
    certificate: Path

    def ask(
        self, host: str, *, port: int = 443, direct: bool = False, login: bool = True, answer_s: float = 40.0
    ) -> dict[str, Any]:
        """What one connection came to; see tests/network/client.py."""
        through = [] if direct else [self.squid.address]
        if login and not direct:
            through += [USER, str(self.squid.password_file)]
        said = self.net.run(
            HOSP, "env", f"ANSWER_S={answer_s}", sys.executable, "-m", "tests.network.client", f"{host}:{port}",
            str(self.certificate), *through, timeout_s=60,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(said)
        return found


@pytest.fixture(scope="module")
def ward(net: Net) -> Ward:
    squid, haproxy, _ = needed("squid", "haproxy", "openssl")
    certificate = self_signed(net.folder / "fed.pem", *NAMES)
    for port in NAMES.values():
        net.start(FED, [sys.executable, "-m", "tests.network.echo", str(port), str(certificate)], port=port)
    start_haproxy(net, haproxy, {name: f"127.0.0.1:{port}" for name, port in NAMES.items()})
    return Ward(net, start_squid(net, squid, [*NAMES, STRANGE]), certificate)


@pytest.mark.parametrize("name", NAMES)
def test_each_name_leads_through_both_proxies_to_its_own_server(ward: Ward, name: str) -> None:
    assert ward.ask(name)["said"] == str(NAMES[name])


def test_the_proxy_has_seen_whom_and_no_more(ward: Ward) -> None:
    ward.ask("b1.fed.test")
    assert f"CONNECT b1.fed.test:443 {USER}" in ward.squid.log()


def test_without_a_login_the_proxy_says_what_it_wants(ward: Ward) -> None:
    found = ward.ask("b1.fed.test", login=False)
    assert found["error"] == "ProxyTrouble"
    assert "wants a user and a password (407)" in found["text"]
    assert found["patience_s"] == 0.0


def test_a_wrong_password_is_told_apart(ward: Ward) -> None:
    right = ward.squid.password_file.read_text()
    ward.squid.password_file.write_text("wrong")
    try:
        found = ward.ask("b1.fed.test")
    finally:
        ward.squid.password_file.write_text(right)
    assert "refuses the user and the password (407)" in found["text"]


def test_there_is_no_way_past_the_proxy(ward: Ward) -> None:
    assert ward.ask("b1.fed.test", direct=True)["error"] == "gaierror"
    assert ward.ask(FED_IP, direct=True)["error"] == "TimeoutError"


def test_a_name_that_the_proxy_does_not_know_is_said(ward: Ward) -> None:
    found = ward.ask("nowhere.fed.test")
    assert "it finds no address for that name" in found["text"]
    assert found["patience_s"] == math.inf


def test_a_name_that_the_proxy_cannot_look_up_is_said(ward: Ward) -> None:
    assert "it finds no address for that name" in ward.ask("one.silent.test")["text"]


def test_a_proxy_that_looks_for_a_name_for_long_is_not_waited_for(ward: Ward) -> None:
    found = ward.ask("two.silent.test", answer_s=0.5)
    assert "does not answer whether it connects to two.silent.test:443" in found["text"]


def test_a_port_that_the_proxy_forbids_is_to_be_asked_for(ward: Ward) -> None:
    found = ward.ask("b1.fed.test", port=9093)
    assert "ask IT to allow CONNECT to b1.fed.test:9093" in found["text"]
    assert found["patience_s"] == 0.0


def test_a_server_that_is_away_is_waited_for(ward: Ward) -> None:
    found = ward.ask(AWAY)
    assert "it does not reach it" in found["text"]
    assert found["patience_s"] == math.inf


def test_a_name_that_the_federation_does_not_have_gets_no_further_than_its_door(ward: Ward) -> None:
    found = ward.ask(STRANGE)
    assert found["error"] in ("ConnectionResetError", "SSLEOFError", "SSLZeroReturnError")


KNOCK = f"""
import socket, ssl, sys, time
context = ssl.create_default_context(cafile=sys.argv[2])
held, refused = [], 0
for _ in range(8):
    try:
        sock = socket.create_connection(({FED_IP!r}, int(sys.argv[1])), 5)
        held.append(context.wrap_socket(sock, server_hostname="b1.fed.test"))
    except OSError:
        refused += 1
    if sys.argv[3] == "leaves" and held:
        held.pop().close()
print(refused)
"""


@pytest.mark.parametrize(
    ("port", "limits", "manner"),
    [(8443, Limits(source_connections=5), "stays"), (8444, Limits(source_connects=5), "leaves")],
)
def test_one_source_gets_only_so_many_connections(ward: Ward, port: int, limits: Limits, manner: str) -> None:
    (haproxy,) = needed("haproxy")
    running = start_haproxy(ward.net, haproxy, {"b1.fed.test": "127.0.0.1:9192"}, port=port, limits=limits)
    try:
        assert ward.net.python(PROX, "-c", KNOCK, str(port), str(ward.certificate), manner) == "3\n"
    finally:
        ward.net.end(running)


def test_the_federations_door_opens_to_tls_alone(ward: Ward) -> None:
    said = ward.net.python(PROX, "-c", SPEAK_HTTP)
    assert said == "b''\n"


SPEAK_HTTP = f"""
import socket
with socket.create_connection(({FED_IP!r}, 443), 5) as sock:
    sock.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
    try:
        print(sock.recv(100))
    except ConnectionResetError:
        print(b"")
"""


def test_a_link_that_was_down_for_five_seconds_is_gone_through_again(ward: Ward) -> None:
    ward.net.cut()
    try:
        found = ward.ask("b1.fed.test")
        assert found["error"] == "ProxyTrouble"
        assert found["patience_s"] == math.inf
        time.sleep(5 - found["s"] if found["s"] < 5 else 0)
    finally:
        ward.net.mend()
    assert ward.ask("b1.fed.test")["said"] == "9192"
