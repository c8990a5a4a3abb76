"""Contexts for TLS: what a folder has to hold, how it is taken up anew, and what a handshake tells of the others."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from protocol.tls.files import TlsKey, install, pem
from protocol.tls.requests import new_tls_key
from registry.pki.authority import Authority, utc_now
from registry.pki.issuing import broker_keys
from registry.pki.profiles import PROFILES
from schemas.errors import LocalError
from transport import tls
from transport.settings import PLAINTEXT, KafkaSettings
from transport.staying import why_refused
from transport.staying.why_refused import tls_trouble
from transport.tls import context_of, refresh

OURS = Authority.new("ours", utc_now())


def keys_of(authority: Authority, name: str, *, roots: Authority = OURS, **how: timedelta) -> TlsKey:
    key = new_tls_key()
    leaf = authority.issue(PROFILES["site"], name, key.public_key(), utc_now(), **how)  # type: ignore[arg-type]
    return TlsKey(key, (leaf,), roots.roots)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A member's folder as it should be."""
    keys_of(OURS, "clinic").save_for_client(tmp_path / "tls")
    yield tmp_path / "tls"
    tls._contexts.clear()
    tls._stamps.clear()


def test_a_whole_folder_makes_a_context_that_speaks_tls_1_3_alone(folder: Path) -> None:
    context = context_of(folder)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert context_of(folder) is context


@pytest.mark.parametrize("name", ["key.pem", "cert.pem", "ca.pem"])
@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_file_that_is_missing_or_damaged_is_named(folder: Path, name: str, content: bytes | None) -> None:
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    with pytest.raises(LocalError, match=name) as caught:
        context_of(folder)
    assert caught.value.hint


def test_a_key_that_others_may_read_is_refused(folder: Path) -> None:
    (folder / "key.pem").chmod(0o644)
    with pytest.raises(LocalError, match="open to others"):
        context_of(folder)


def test_a_certificate_of_another_key_is_refused(folder: Path) -> None:
    other = keys_of(OURS, "clinic")
    install(folder, pem(other.chain), pem(other.roots))
    with pytest.raises(LocalError, match="do not belong together"):
        context_of(folder)


def test_a_certificate_that_has_run_out_is_said_with_its_dates(tmp_path: Path) -> None:
    long_ago = utc_now() - timedelta(days=200)
    key = new_tls_key()
    leaf = Authority.new("old", long_ago).issue(PROFILES["site"], "clinic", key.public_key(), long_ago)
    TlsKey(key, (leaf,), OURS.roots).save_for_client(tmp_path / "tls")
    with pytest.raises(LocalError, match="is valid from") as caught:
        context_of(tmp_path / "tls")
    assert "is the clock right" in caught.value.hint


def test_a_renewed_certificate_is_taken_up_by_the_living_context(folder: Path) -> None:
    context = context_of(folder)
    assert refresh() == []
    keys_of(OURS, "clinic").save_for_client(folder.parent / "next")
    for name in ("key.pem", "cert.pem"):
        (folder.parent / "next" / name).replace(folder / name)
    assert refresh() == [folder.resolve()]
    assert context_of(folder) is context


def test_a_renewal_that_is_wrong_leaves_the_context_as_it_was(folder: Path) -> None:
    context = context_of(folder)
    whole = (folder / "cert.pem").read_bytes()
    (folder / "cert.pem").write_bytes(b"half a")
    with pytest.raises(LocalError):
        refresh()
    (folder / "cert.pem").write_bytes(whole)
    assert context_of(folder) is context


def test_nothing_is_sent_without_keys_or_without_tls_unless_by_name(folder: Path) -> None:
    with pytest.raises(LocalError, match="no keys for TLS are named") as caught:
        _ = KafkaSettings("kafka:443", "clinic").how
    assert PLAINTEXT in caught.value.hint
    assert KafkaSettings("kafka:443", "clinic", tls=folder).how["security_protocol"] == "SSL"
    assert "ssl_context" not in KafkaSettings("kafka:443", "clinic", security=PLAINTEXT).how
    for word in ("plaintext", "PLAINTEXT", "ssl", ""):
        with pytest.raises(LocalError, match="is none of tls, plaintext-on-purpose"):
            KafkaSettings("kafka:443", "clinic", security=word)


@asynccontextmanager
async def serving(
    tmp_path: Path, authority: Authority, *, host: str = "127.0.0.1", roots: Authority = OURS
) -> AsyncIterator[int]:
    """A server that shows a broker's certificate and wants one of `roots`; the port it listens on."""
    keystore, _ = broker_keys(authority, [host], utc_now())
    (tmp_path / "server.pem").write_bytes(keystore)
    (tmp_path / "roots.pem").write_bytes(pem(roots.roots))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    context.load_verify_locations(tmp_path / "roots.pem")
    context.verify_mode = ssl.CERT_REQUIRED

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(why_refused, "ALERT_S", 0.2)


@pytest.mark.usefixtures("quick")
async def test_tls_that_is_well_both_ways_is_no_trouble(folder: Path, tmp_path: Path) -> None:
    async with serving(tmp_path, OURS) as port:
        assert await tls_trouble("127.0.0.1", port, context_of(folder)) is None


@pytest.mark.usefixtures("quick")
async def test_whoever_opens_tls_on_the_way_is_named_with_what_to_ask_for(folder: Path, tmp_path: Path) -> None:
    inspector = Authority.new("Hospital IT inspection", utc_now())
    async with serving(tmp_path, inspector) as port:
        trouble = await tls_trouble("127.0.0.1", port, context_of(folder))
    assert trouble is not None
    assert "issued by CN=Hospital IT inspection root" in str(trouble)
    assert f"ask for an exception for 127.0.0.1:{port} (no TLS inspection)" in str(trouble)
    assert trouble.patience_s == 0


@pytest.mark.usefixtures("quick")
async def test_a_broker_under_another_name_is_told(folder: Path, tmp_path: Path) -> None:
    async with serving(tmp_path, OURS, host="kafka.example.org") as port:
        trouble = await tls_trouble("127.0.0.1", port, context_of(folder))
    assert "is for other names than 127.0.0.1" in str(trouble)


@pytest.mark.usefixtures("quick")
async def test_a_certificate_of_ours_that_is_not_taken_is_told(folder: Path, tmp_path: Path) -> None:
    async with serving(tmp_path, OURS, roots=Authority.new("theirs", utc_now())) as port:
        trouble = await tls_trouble("127.0.0.1", port, context_of(folder))
    assert "our certificate" in str(trouble)
    assert trouble is not None
    assert (trouble.patience_s, trouble.kind) == (0, "certificate")


async def test_a_server_without_tls_is_told(folder: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        trouble = await tls_trouble("127.0.0.1", server.sockets[0].getsockname()[1], context_of(folder))
    assert "does not speak TLS" in str(trouble)
