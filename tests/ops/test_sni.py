"""One port leads to each broker by its name: HAProxy and nginx are told so, and nonsense is refused."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ops.sni import Limits, haproxy_config, nginx_config
from schemas.errors import LocalError
from tests.network.tools import needed

BROKERS = {"b1.fed.test": "10.0.0.1:9093", "B2.fed.test": "[2001:db8::2]:9093"}


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def test_haproxy_routes_each_name_and_rejects_all_else() -> None:
    text = lines(haproxy_config(443, BROKERS, bootstrap="kafka.fed.test"))
    assert [
        line for line in text if line.startswith(("bind", "tcp-request content reject", "use_backend", "default_"))
    ] == [
        "bind *:443",
        "tcp-request content reject unless { req.ssl_hello_type 1 }",
        "tcp-request content reject unless { req.ssl_sni -i b1.fed.test b2.fed.test kafka.fed.test }",
        "use_backend b1.fed.test if { req.ssl_sni -i b1.fed.test }",
        "use_backend b2.fed.test if { req.ssl_sni -i b2.fed.test }",
        "use_backend kafka.fed.test if { req.ssl_sni -i kafka.fed.test }",
    ]
    assert [line for line in text if line.startswith("server ")] == [
        "server 1 10.0.0.1:9093",
        "server 1 [2001:db8::2]:9093",
        "server 1 10.0.0.1:9093",
        "server 2 [2001:db8::2]:9093",
    ]


def test_haproxy_keeps_idle_connections_and_bounds_each_source() -> None:
    text = lines(haproxy_config(8443, BROKERS, bind="10.0.0.9", limits=Limits(1000, 20, 10), user=""))
    assert {
        "mode tcp",
        "bind 10.0.0.9:8443",
        "timeout client 1h",
        "timeout server 1h",
        "maxconn 1000",
        "tcp-request inspect-delay 5s",
        "tcp-request connection reject if { sc0_conn_cur gt 20 }",
        "tcp-request connection reject if { sc0_conn_rate gt 10 }",
    } <= set(text)
    assert not [line for line in text if line.startswith(("user", "group", "stats", "ssl", "crt"))]


@pytest.mark.parametrize("bootstrap", ["", "kafka.fed.test"])
def test_haproxy_itself_finds_the_configuration_valid(bootstrap: str, tmp_path: Path) -> None:
    (haproxy,) = needed("haproxy")
    config = tmp_path / "haproxy.cfg"
    config.write_text(haproxy_config(443, BROKERS, bootstrap=bootstrap, user="root"))
    found = subprocess.run([haproxy, "-c", "-f", config], capture_output=True, text=True, timeout=20)
    assert found.returncode == 0, found.stderr
    assert "[WARNING]" not in found.stderr


def test_nginx_routes_each_name_and_rejects_all_else() -> None:
    text = nginx_config(443, BROKERS, bootstrap="kafka.fed.test", limits=Limits(1000, 20, 10))
    found = lines(text)
    start = found.index("default nobody;")
    assert found[start : start + 4] == [
        "default nobody;", "b1.fed.test broker_0;", "b2.fed.test broker_1;", "kafka.fed.test broker_2;",
    ]  # fmt: skip
    assert {"ssl_preread on;", "proxy_timeout 1h;", "limit_conn source 20;", "worker_connections 2000;"} <= set(found)
    assert "upstream broker_2 {\n        server 10.0.0.1:9093;\n        server [2001:db8::2]:9093;\n    }" in text
    assert "server 127.0.0.1:9 down;" in found
    assert text.count("{") == text.count("}")


@pytest.mark.parametrize("config", [haproxy_config, nginx_config])
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"port": 0}, "port 0"),
        ({"brokers": {}}, "no broker"),
        ({"brokers": {"b1.fed.test }\nx": "a:1"}}, "no host name"),
        ({"brokers": {"10.0.0.1:1": "a:1"}}, "no host name"),
        ({"brokers": {"10.0.0.1": "a:1"}}, "no host name"),
        ({"brokers": {"kafka": "a:1"}}, "no host name"),
        ({"brokers": {"b1.fed.test": "a"}}, "no broker's address"),
        ({"brokers": {"b1.fed.test": "a:1;\nx"}}, "no broker's address"),
        ({"brokers": {"b1.fed.test": "a:65536"}}, "no broker's address"),
        ({"brokers": {"b1.fed.test": "a:1", "B1.fed.test": "b:1"}}, "two places"),
        ({"bootstrap": "b1.fed.test"}, "two places"),
    ],
)
def test_what_is_no_name_and_no_address_is_refused(
    config: Callable[..., str], wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(LocalError, match=words) as caught:
        config(**{"port": 443, "brokers": BROKERS, **wrong})
    assert caught.value.hint


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(LocalError, match="source_connects"):
        Limits(source_connects=0)
