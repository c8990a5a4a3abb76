"""Why a broker is not reached is told apart: no such name, nobody there, no answer, another kind of server."""

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ops.kafka.ports import free_ports
from schemas.errors import TransientError
from transport.admin import Admin, within
from transport.settings import PLAINTEXT, KafkaSettings
from transport.staying import why_away as module
from transport.staying.link import Link
from transport.staying.why_away import why_away

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def server(serve: Serve, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server on the loopback; its address."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()

    running = await asyncio.start_server(once, "127.0.0.1", 0, ssl=context)
    async with running:
        yield f"127.0.0.1:{running.sockets[0].getsockname()[1]}"


async def _web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers at once to what is no request, as some do."""
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def _patient_web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Waits for the end of a line, as others do."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.0 404 Not Found\r\n\r\n")


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def _broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """ApiVersions 0: no error, no versions."""
    size = struct.unpack(">i", await reader.readexactly(4))[0]
    correlation = (await reader.readexactly(size))[4:8]
    writer.write(struct.pack(">i", 10) + correlation + bytes(6))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.5)


async def test_a_broker_is_no_trouble_and_one_of_several_is_enough() -> None:
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    async with server(_broker) as address:
        assert await why_away([address]) is None
        assert await why_away([nobody, address]) is None


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("serve", "said", "patience_s"),
    [
        (_web, "a web server listens at", 0.0),
        (_patient_web, "a web server listens at", 0.0),
        (_silent, "takes a connection and answers nothing", float("inf")),
        (_closing, "does not answer as a broker does", float("inf")),
    ],
)
async def test_servers_of_another_kind_are_told_apart(serve: Serve, said: str, patience_s: float) -> None:
    async with server(serve) as address:
        trouble = await why_away([address])
    assert trouble is not None
    assert said in str(trouble)
    assert trouble.patience_s == patience_s


@pytest.mark.usefixtures("quick")
async def test_a_server_that_speaks_tls_is_told(tmp_path: Path) -> None:
    async with server(_silent, _tls(tmp_path)) as address:
        trouble = await why_away([address])
    assert trouble is not None
    assert f"{address} speaks TLS" in str(trouble)
    assert trouble.patience_s == 0


def _tls(folder: Path) -> ssl.SSLContext:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "tls.pem").write_bytes(plain + made.sign(key, hashes.SHA256()).public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.pem")
    return context


async def test_a_name_that_nobody_has_is_told_and_waiting_does_not_help(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    trouble = await why_away(["brokr:9092"])
    assert trouble is not None
    assert (str(trouble), trouble.patience_s) == ("the name brokr has no address here", 0)


async def test_a_name_server_that_does_not_answer_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", away)
    trouble = await why_away(["broker:9092"])
    assert trouble is not None
    assert "cannot be looked up just now" in str(trouble)
    assert trouble.patience_s > 1000


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("serve", [_web, _patient_web])
async def test_a_command_ends_early_where_it_can_only_be_the_wrong_address(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transport.clients.CURIOUS_S", 0.1)
    async with server(serve) as address:
        settings = KafkaSettings(address, "test", security=PLAINTEXT)
        link, began_s = Link(settings), time.monotonic()
        admin = Admin(settings, link)
        with pytest.raises(TransientError, match=f"broker {address} not reached: a web server listens at"):
            await within(admin.existing(["x"]), 120, link)
        assert time.monotonic() - began_s < 60
        await admin.close()


async def test_a_service_says_in_its_line_why_the_broker_is_away() -> None:
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    link = Link(KafkaSettings(nobody, "test", security=PLAINTEXT))
    admin = Admin(KafkaSettings(nobody, "test", security=PLAINTEXT), link)
    with capture_logs() as lines, pytest.raises(TransientError):
        await within(admin.existing(["x"]), 5, link)
    assert lines[0]["reason"] == f"nobody listens at {nobody}: the broker does not run, or has another port"
    await admin.close()
