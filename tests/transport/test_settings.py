"""Connection settings: what is wrong is said before anything is opened."""

import pytest

from schemas.errors import LocalError
from transport.settings import SEALED_CHUNK_BYTES, KafkaSettings


@pytest.mark.parametrize("bootstrap", ["", "localhost", "localhost:", ":9092", "a:0", "a:70000", "a:9092,", "a:x"])
def test_an_address_without_host_or_port_is_refused(bootstrap: str) -> None:
    with pytest.raises(LocalError) as caught:
        KafkaSettings(bootstrap, "tests")
    assert "host:port" in caught.value.hint


@pytest.mark.parametrize(
    ("bootstrap", "hint"),
    [
        ("kafka://a:9092", "leave kafka:// out"),
        ("http://a:80", "leave http:// out"),
        ("a:1;b:2", "separated by commas"),
        ("a:1 b:2", "separated by commas"),
        ("a:1,,b:2", "separated by commas"),
        ("::1:9092", "in brackets"),
        ("a/b:9092", "host:port"),
        ("-a:9092", "host:port"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused_with_what_to_write(bootstrap: str, hint: str) -> None:
    with pytest.raises(LocalError, match="is no broker address") as caught:
        KafkaSettings(bootstrap, "tests")
    assert hint in caught.value.hint


def test_several_brokers_and_spaces_are_fine() -> None:
    assert KafkaSettings("a:1, b:2,[::1]:3", "tests").servers == ["a:1", "b:2", "[::1]:3"]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"security": "plaintext"}, "plaintext-on-purpose"),
        ({"client_id": ""}, "client_id"),
        ({"batch_bytes": SEALED_CHUNK_BYTES}, "batch_bytes"),
        ({"fetch_bytes": 1000}, "fetch_bytes"),
        ({"fetch_wait_ms": 0}, "fetch_wait_ms"),
        ({"request_timeout_ms": 10}, "request_timeout_ms"),
        ({"backoff_min_s": 0.0}, "backoff_min_s"),
        ({"backoff_min_s": 9.0}, "backoff_min_s"),
    ],
)
def test_a_value_that_cannot_work_is_named(changed: dict[str, object], named: str) -> None:
    with pytest.raises(LocalError, match=named):
        KafkaSettings(**{"bootstrap": "a:1", "client_id": "tests", **changed})  # type: ignore[arg-type] # wrong on purpose
