"""Connections go out directly or through a proxy; what it refuses says what to do, in bounded time, leaking nothing."""

import asyncio
import contextlib
import logging
import math
import socket
import ssl
import struct
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiokafka import errors
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn

from ops.kafka.ports import free_ports
from schemas.errors import LocalError
from tests.network.tls import self_signed
from transport.dialing import Proxy, ProxyChoice, ProxyTrouble, environment_proxy, loop_factory
from transport.dialing import connect as connecting
from transport.dialing import loop as looping
from transport.dialing.loop import is_loopback

T = TypeVar("T")
Work = Callable[["FakeProxy"], Awaitable[T]]

OK = b"HTTP/1.1 200 Connection established\r\n\r\n"
PASSWORD = "p:ässword"


class FakeProxy:
    """Takes CONNECT on the loopback, keeps what it was asked, gives one answer.

    far     what it gives for what comes then: the same; tunnel: a port it forwards to instead
    stays   until the client leaves; else it hangs up after the answer
    """

    def __init__(self, answer: bytes = OK, *, stays: bool = True, far: Callable[[bytes], bytes] = bytes) -> None:
        self.answer, self.stays, self.far, self.tunnel = answer, stays, far, 0
        self.asked: list[bytes] = []
        self.reached = asyncio.Event()  # by a whole request
        self.clients: set[asyncio.Task[None]] = set()
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.sock.getsockname()[1]

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            self.asked.append(await reader.readuntil(b"\r\n\r\n"))
            self.reached.set()
            writer.write(self.answer)
            if self.tunnel:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.tunnel)
                await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
            elif self.stays:
                while block := await reader.read(4096):
                    writer.write(self.far(block))
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while block := await reader.read(4096):
            writer.write(block)
    writer.close()


def through(proxy: FakeProxy, work: Work[T], **named: Any) -> T:
    """Do `work` in a loop whose connections go through `proxy`; no socket may be left to the collector."""
    return dial(ProxyChoice("named", Proxy("127.0.0.1", proxy.port, **named)), proxy, work)


def dial(choice: ProxyChoice, proxy: FakeProxy, work: Work[T]) -> T:
    async def served() -> T:
        async with await asyncio.start_server(proxy.take, sock=proxy.sock), asyncio.timeout(5):
            result = await work(proxy)
            if proxy.clients:
                await asyncio.wait(proxy.clients)  # each ends when the other side has closed its connection
            return result

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ResourceWarning)
        with asyncio.Runner(loop_factory=loop_factory(choice, {})) as runner:
            result = runner.run(served())
    assert [text for text in map(str, (one.message for one in said)) if text.startswith("unclosed")] == []
    return result


async def connection(host: str = "echo.test", port: int = 443, **more: Any) -> bytes:
    """What an echo says."""
    reader, writer = await asyncio.open_connection(host, port, **more)
    writer.write(b"hello\r\n\r\n" if host == "many.test" else b"hello")
    said = await reader.read(5)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return said


async def trouble(host: str = "echo.test", port: int = 443) -> ProxyTrouble:
    with pytest.raises(ProxyTrouble) as caught:
        await asyncio.open_connection(host, port)
    return caught.value


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of echo.test, which vouches for itself."""
    return self_signed(tmp_path_factory.mktemp("tls") / "echo.pem", "echo.test")


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.touch(mode=0o600)
    path.write_text(PASSWORD + "\n", encoding="utf-8")
    return path


@pytest.fixture
def no_names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """As in a hospital: names outside have no address. Names that were looked up nevertheless."""
    asked: list[str] = []

    def lookup(host: str, port: int, *args: Any, **more: Any) -> Any:
        if host.endswith(".test"):
            asked.append(host)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, port, *args, **more)

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return asked


async def _tls_echo(certificate: Path) -> asyncio.Server:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return await asyncio.start_server(_pump, "127.0.0.1", 0, ssl=context)


def test_tls_goes_end_to_end_through_the_proxy_which_alone_looks_the_name_up(
    certificate: Path, no_names: list[str]
) -> None:
    async def work(proxy: FakeProxy) -> bytes:
        async with await _tls_echo(certificate) as echo:
            proxy.tunnel = echo.sockets[0].getsockname()[1]
            return await connection(ssl=ssl.create_default_context(cafile=certificate))

    proxy = FakeProxy()
    assert through(proxy, work) == b"hello"
    assert proxy.asked == [b"CONNECT echo.test:443 HTTP/1.1\r\nHost: echo.test:443\r\n\r\n"]
    assert no_names == []


def test_a_server_of_another_name_is_an_error_of_tls_and_not_of_the_proxy(certificate: Path) -> None:
    async def work(proxy: FakeProxy) -> str:
        async with await _tls_echo(certificate) as echo:
            proxy.tunnel = echo.sockets[0].getsockname()[1]
            with pytest.raises(ssl.SSLCertVerificationError) as caught:
                await connection("other.test", ssl=ssl.create_default_context(cafile=certificate))
            return caught.value.verify_message

    assert "not valid for 'other.test'" in through(FakeProxy(), work)


def test_an_ipv6_address_is_asked_for_in_brackets() -> None:
    proxy = FakeProxy()
    assert through(proxy, lambda _: connection("2001:db8::1", 443)) == b"hello"
    assert proxy.asked[0].startswith(b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n")


def test_what_comes_right_behind_the_proxys_answer_is_not_lost() -> None:
    assert through(FakeProxy(OK + b"first"), lambda _: connection()) == b"first"


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 103 Early\r\nx: y\r\n\r\n" + OK, b"HTTP/1.0 200\n\n", b"HTTP/1.1 204 No Content\r\n\r\n"]
)
def test_unusual_answers_of_consent_are_understood(answer: bytes) -> None:
    assert through(FakeProxy(answer + b"first"), lambda _: connection()) == b"first"


def test_the_password_is_read_at_each_connection(password_file: Path) -> None:
    async def work(proxy: FakeProxy) -> None:
        await connection()
        password_file.write_text("new")
        await connection()

    proxy = FakeProxy()
    through(proxy, work, user="site", password_file=password_file)
    assert [asked.split(b"\r\n")[2] for asked in proxy.asked] == [
        b"Proxy-Authorization: Basic c2l0ZTpwOsOkc3N3b3Jk",
        b"Proxy-Authorization: Basic c2l0ZTpuZXc=",
    ]


BASIC = b'HTTP/1.1 407 Who\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: basic realm="Digest, NTLM"\r\n\r\n'


@pytest.mark.parametrize(
    ("answer", "words", "patience_s"),
    [
        (BASIC, "wants a user and a password (407)", 0.0),
        (b"HTTP/1.1 407 x\r\nProxy-Authenticate: Negotiate, NTLM\r\n\r\n", "offers only Negotiate, NTLM", 0.0),
        (b"HTTP/1.1 407 x\r\nProxy-Authenticate: Kerberos\r\n\r\n", "by its source address, or a local relay", 0.0),
        (b'HTTP/1.1 407 x\r\nProxy-Authenticate: Digest realm="a", qop="b"\r\n\r\n', "offers only Digest,", 0.0),
        (b"HTTP/1.1 407 x\r\n\r\n", "does not say how", 0.0),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "ask IT to allow CONNECT to echo.test:443", 0.0),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "502 Bad Gateway to a connection to echo.test:443", math.inf),
        (b"HTTP/1.1 503 x\r\nX-Squid-Error: ERR_DNS_FAIL 0\r\n\r\n", "finds no address for that name", math.inf),
        (b"HTTP/1.1 503 x\r\nX-Squid-Error: ERR_CONNECT_FAIL 111\r\n\r\n", "does not reach it", math.inf),
        (b"HTTP/1.1 500 x\r\nX-Squid-Error: ERR_CANNOT_FORWARD 0\r\n\r\n", "finds no address for that name", math.inf),
        (b"HTTP/1.1 504 x\r\n\r\n", "does not reach it", math.inf),
        (b"HTTP/1.1 500 x\r\n\r\n", "cannot serve it just now", math.inf),
        (b"HTTP/1.1 429 x\r\n\r\n", "cannot serve it just now", math.inf),
        (b"HTTP/1.1 302 Found\r\nLocation: https://login.test\r\n\r\n", "log in on a web page", 0.0),
        (b"HTTP/1.1 405 Not \x1b[31m Allowed\r\n\r\n", "405 Not ?[31m Allowed to a connection", 0.0),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not answer as an HTTP proxy does", 0.0),
        (b"HTTP/2 banana\r\n\r\n", "does not answer as an HTTP proxy does", 0.0),
        (b"HTT", "does not answer as an HTTP proxy does", 0.0),
        (b"\x15\x03\x03\x00\x02\x02\x0a", "speaks TLS itself", 0.0),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 20_000, "more than 16384 bytes of headers", 0.0),
    ],
)
def test_each_refusal_says_what_is_wrong_and_whether_to_wait(answer: bytes, words: str, patience_s: float) -> None:
    found = through(FakeProxy(answer, stays=answer != b"HTT"), lambda _: trouble())
    assert words in str(found)
    assert found.patience_s == patience_s


def test_a_refused_password_is_told_from_a_missing_one_and_never_shown(password_file: Path) -> None:
    found = through(FakeProxy(BASIC), lambda _: trouble(), user="site", password_file=password_file)
    assert "refuses the user and the password" in str(found)
    assert found.patience_s == 0.0
    assert PASSWORD not in repr(found)


def test_a_proxy_that_hangs_up_without_a_word_may_come_back() -> None:
    found = through(FakeProxy(b"", stays=False), lambda _: trouble())
    assert "closed the connection without an answer" in str(found)
    assert found.patience_s == math.inf


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nand no end: "])
def test_a_proxy_that_answers_nothing_whole_is_given_up(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "ANSWER_S", 0.05)
    found = through(FakeProxy(answer), lambda _: trouble())
    assert "does not answer whether it connects to echo.test:443" in str(found)
    assert found.patience_s == math.inf


def test_a_cancelled_try_closes_its_connection_to_the_proxy() -> None:
    async def work(proxy: FakeProxy) -> None:
        task = asyncio.create_task(asyncio.open_connection("echo.test", 443))
        await proxy.reached.wait()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()

    through(FakeProxy(b""), work)


def test_options_that_make_no_sense_leave_no_connection_behind() -> None:
    async def work(_: FakeProxy) -> None:
        with pytest.raises(ValueError, match="only meaningful with ssl"):
            await asyncio.open_connection("echo.test", 443, ssl_handshake_timeout=1.0)

    through(FakeProxy(), work)


def test_a_proxy_that_is_down_may_come_back_and_one_without_address_is_a_mistake(no_names: list[str]) -> None:
    async def away(_: FakeProxy) -> ProxyTrouble:
        return await trouble()

    nobody = ProxyChoice("named", Proxy("127.0.0.1", free_ports(1)[0]))
    found = dial(nobody, FakeProxy(), away)
    assert "nobody listens at the proxy's address 127.0.0.1:" in str(found)
    assert found.patience_s == math.inf
    found = dial(ProxyChoice("named", Proxy("proxy.test", 3128)), FakeProxy(), away)
    assert "the proxy's name proxy.test has no address here" in str(found)
    assert found.patience_s == 0.0


def test_names_that_cannot_be_looked_up_just_now_may_be_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    found = dial(ProxyChoice("named", Proxy("proxy.test", 3128)), FakeProxy(), lambda _: trouble())
    assert "cannot be looked up just now" in str(found)
    assert found.patience_s == math.inf


@contextlib.contextmanager
def hanging(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """The port of a listener that takes no connection any more, as behind a firewall that drops them."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server((host, port), backlog=0))
        for _ in range(3):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        yield full.getsockname()[1]


def test_a_proxy_that_takes_no_connection_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looping, "CONNECT_S", 0.05)
    with hanging() as port:
        found = dial(ProxyChoice("named", Proxy("127.0.0.1", port)), FakeProxy(), lambda _: trouble())
    assert "takes no connection" in str(found)
    assert found.patience_s == math.inf


@pytest.mark.parametrize("host", ["a\r\nEvil: yes", "a b", "", "ä.test", "x" * 256])
def test_a_host_that_a_broker_made_up_writes_no_header(host: str) -> None:
    proxy = Proxy("127.0.0.1", 3128)
    with pytest.raises(ProxyTrouble, match="no host name that a proxy can be asked for"):
        connecting.request(proxy, host, 443)


@pytest.mark.parametrize("kind", ["none", "named"])
def test_a_connection_is_kept_alive_by_the_system_and_sends_small_requests_at_once(kind: str) -> None:
    async def work(proxy: FakeProxy) -> dict[str, int]:
        _, writer = await asyncio.open_connection("127.0.0.1" if kind == "none" else "echo.test", proxy.port)
        sock = writer.get_extra_info("socket")
        found = {name: sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in TCP}
        found["SO_KEEPALIVE"] = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        writer.close()
        await writer.wait_closed()
        return found

    proxy = FakeProxy()
    choice = ProxyChoice("named", Proxy("127.0.0.1", proxy.port)) if kind == "named" else ProxyChoice()
    assert dial(choice, proxy, work) == {**TCP, "SO_KEEPALIVE": 1}


TCP = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4, "TCP_NODELAY": 1}


@pytest.mark.parametrize("first", ["refuses", "hangs"])
def test_each_address_of_a_name_is_tried_directly(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(host: str, port: int, *_: Any, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in ("127.0.0.2", "127.0.0.1")]

    proxy = FakeProxy(b"first")
    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setattr(looping, "NEXT_ADDRESS_S", 0.01)
    with hanging("127.0.0.2", proxy.port) if first == "hangs" else contextlib.nullcontext():
        assert dial(ProxyChoice(), proxy, lambda _: connection("many.test", proxy.port)) == b"first"


def test_the_loopback_is_always_reached_directly() -> None:
    proxy = FakeProxy()

    async def work(_: FakeProxy) -> bytes:
        async with await asyncio.start_server(_pump, "127.0.0.1", 0) as echo:
            return await connection("localhost", echo.sockets[0].getsockname()[1])

    assert through(proxy, work) == b"hello"
    assert proxy.asked == []


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "a.localhost", "127.1.2.3", "::1", "[::1]", "::ffff:127.0.0.1"]
)
def test_the_loopback_has_these_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.test", "128.0.0.1", "::2", "10.0.0.1", "mylocalhost"])
def test_others_are_not_the_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_a_connection_of_aiokafka_goes_through_the_proxy(no_names: list[str]) -> None:
    def broker(request: bytes) -> bytes:
        return struct.pack(">i", 10) + request[8:12] + bytes(6)  # ApiVersions 0: no error, no versions

    async def work(_: FakeProxy) -> None:
        conn = await create_conn("kafka.test", 9092)
        conn.close()

    proxy = FakeProxy(far=broker)
    through(proxy, work)
    assert [asked.split(b"\r\n")[0] for asked in proxy.asked] == [b"CONNECT kafka.test:9092 HTTP/1.1"]
    assert no_names == []


def test_aiokafka_takes_a_refusal_for_a_broker_that_is_away_and_logs_why(
    password_file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("aiokafka"), "filters", [])  # of clients that other tests have made

    async def work(_: FakeProxy) -> None:
        client = AIOKafkaClient(bootstrap_servers="kafka.test:9092")
        with pytest.raises(errors.KafkaConnectionError):
            await client.bootstrap()
        await client.close()

    through(FakeProxy(BASIC), work, user="site", password_file=password_file)
    assert "refuses the user and the password" in caplog.text
    assert PASSWORD not in caplog.text
    assert "c2l0ZTp" not in caplog.text


async def test_a_connection_that_broke_at_once_is_no_error_of_dialing() -> None:
    with socket.socket() as sock:
        pass
    looping.keep_alive(sock)


def test_the_loop_starts_processes_too() -> None:
    async def work() -> bytes:
        process = await asyncio.create_subprocess_exec("echo", "hello", stdout=asyncio.subprocess.PIPE)
        return (await process.communicate())[0]

    with asyncio.Runner(loop_factory=loop_factory(ProxyChoice())) as runner:
        assert runner.run(work()) == b"hello\n"


@pytest.mark.parametrize("content", [None, b"", b"two\nlines\n", b"\xff", b"x" * 2000])
def test_a_password_file_that_holds_no_password_is_said_at_the_start(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.touch(mode=0o600)
        path.write_bytes(content)
    choice = ProxyChoice("named", Proxy("proxy.test", 3128, "site", path))
    with pytest.raises(LocalError, match="with the proxy's password") as caught:
        loop_factory(choice, {})
    assert caught.value.hint


def test_a_password_file_that_others_may_read_is_refused_at_the_start_and_later(password_file: Path) -> None:
    async def work(_: FakeProxy) -> ProxyTrouble:
        password_file.chmod(0o644)
        return await trouble()

    found = through(FakeProxy(), work, user="site", password_file=password_file)
    assert f"{password_file} with the proxy's password is open to others; run: chmod 600 {password_file}" in str(found)
    assert found.patience_s == 0.0
    with pytest.raises(LocalError, match="open to others"):
        loop_factory(ProxyChoice("named", Proxy("proxy.test", 3128, "site", password_file)), {})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"host": "http://proxy"}, "no host name"),
        ({"port": 0}, "port 0"),
        ({"user": "site:secret", "password": "x"}, "colon"),
        ({"user": "site"}, "has no password"),
        ({"password_file": Path("x")}, "and no user"),
    ],
)
def test_a_proxy_that_cannot_be_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(LocalError, match=words) as caught:
        Proxy(**{"host": "proxy.test", "port": 3128, **wrong})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [("system", None), ("named", None), ("none", Proxy("a", 1)), ("environment", Proxy("a", 1))]
)
def test_a_choice_that_cannot_be_is_refused(wrong: tuple[str, Proxy | None]) -> None:
    with pytest.raises(LocalError):
        ProxyChoice(*wrong)


def test_the_environment_counts_only_where_it_is_asked_for() -> None:
    environ = {"HTTPS_PROXY": "http://proxy.test:3128"}
    assert ProxyChoice().on_the_way("kafka.test", 443, environ) is None
    assert ProxyChoice("environment").on_the_way("kafka.test", 443, environ) == Proxy("proxy.test", 3128)
    assert ProxyChoice("environment").on_the_way("127.0.0.1", 443, environ) is None


def test_a_loop_follows_the_environment_as_it_was_at_the_start() -> None:
    proxy = FakeProxy()
    environ = {"https_proxy": f"http://127.0.0.1:{proxy.port}"}
    make = loop_factory(ProxyChoice("environment"), environ)
    environ.clear()

    async def work() -> bytes:
        async with await asyncio.start_server(proxy.take, sock=proxy.sock):
            return await connection()

    with asyncio.Runner(loop_factory=make) as runner:
        assert runner.run(work()) == b"hello"
    assert len(proxy.asked) == 1


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTP_PROXY": "http://a:1"}, None),
        ({"HTTPS_PROXY": "http://a:1"}, Proxy("a", 1)),
        ({"HTTPS_PROXY": "a:1"}, Proxy("a", 1)),
        ({"HTTPS_PROXY": "HTTP://a:1/"}, Proxy("a", 1)),
        ({"HTTPS_PROXY": "http://[2001:db8::1]:1"}, Proxy("2001:db8::1", 1)),
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:2"}, Proxy("b", 2)),
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": ""}, None),
        ({"HTTPS_PROXY": "http://h%C3%A9:p%40%3A%2F@a:1"}, Proxy("a", 1, "hé", password="p@:/")),
    ],
)
def test_the_environment_names_a_proxy(environ: dict[str, str], proxy: Proxy | None) -> None:
    assert environment_proxy(environ, "kafka.test", 443) == proxy


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("socks5://u:secret@a:1080", "SOCKS"),
        ("SOCKS5H://a:1080", "SOCKS"),
        ("https://u:secret@a:443", "speaks TLS itself"),
        ("ftp://u:secret@a:21", "no URL of an HTTP proxy"),
        ("http://a", "a host and a port"),
        ("http://:3128", "a host and a port"),
        ("http://a:3128/secret", "and nothing else"),
        ("http://u:1#secret@a:3128", "and nothing else"),
        ("http://u:se/cret@a:3128", "no URL"),
        ("http://a:secret", "no URL"),
        ("http://[secret", "no URL"),
        ("http://u@a:1", "has no password"),
        ("http://u%0A:secret@a:1", "control character"),
    ],
)
def test_an_environment_that_names_no_http_proxy_is_refused_without_showing_it(url: str, words: str) -> None:
    with pytest.raises(LocalError, match=words) as caught:
        loop_factory(ProxyChoice("environment"), {"HTTPS_PROXY": url})
    assert caught.value.hint
    assert "secret" not in str(caught.value) + caught.value.hint


def test_a_password_of_the_environment_is_in_no_repr() -> None:
    proxy = environment_proxy({"HTTPS_PROXY": "http://u:secret@a:1"}, "kafka.test", 443)
    assert "secret" not in f"{proxy!r} {proxy} {ProxyChoice('named', proxy)!r}"


@pytest.mark.parametrize(
    "entry",
    [
        "*", "kafka.fed.test", "KAFKA.fed.test", "fed.test", ".fed.test", "*.fed.test", "kafka.fed.test:443",
        "a.test, fed.test", "a.test fed.test", "a.test,*",
    ],
)  # fmt: skip
def test_no_proxy_leaves_a_name_out(entry: str) -> None:
    environ = {"HTTPS_PROXY": "http://a:1", "NO_PROXY": entry}
    assert environment_proxy(environ, "kafka.fed.test", 443) is None
    assert environment_proxy(environ, "kafka.fed.test.", 443) is None


@pytest.mark.parametrize("entry", ["", "ed.test", "kafka.fed.test:9092", "a.kafka.fed.test", "10.0.0.0/8", "fed.*"])
def test_no_proxy_does_not_mean_other_names(entry: str) -> None:
    assert environment_proxy({"HTTPS_PROXY": "http://a:1", "NO_PROXY": entry}, "kafka.fed.test", 443) is not None


@pytest.mark.parametrize(
    ("host", "entry"),
    [
        ("10.1.2.3", "10.0.0.0/8"), ("10.1.2.3", "10.1.2.3"), ("10.1.2.3", "10.1.2.3:443"),
        ("2001:db8::1", "2001:db8::/32"),
        ("2001:db8::1", "[2001:db8::1]"), ("2001:db8::1", "[2001:db8::1]:443"), ("2001:db8::1", "2001:DB8:0::1"),
        ("10.1.2.3", "a.test,*"),
    ],
)  # fmt: skip
def test_no_proxy_leaves_an_address_out(host: str, entry: str) -> None:
    assert environment_proxy({"HTTPS_PROXY": "http://a:1", "NO_PROXY": entry}, host, 443) is None


@pytest.mark.parametrize("entry", ["11.0.0.0/8", "10.1.2.3:9092", "2.3", "1.2.3", "0.0/33", "[10.1.2.3"])
def test_no_proxy_does_not_mean_other_addresses(entry: str) -> None:
    assert environment_proxy({"HTTPS_PROXY": "http://a:1", "NO_PROXY": entry}, "10.1.2.3", 443) is not None


def test_what_a_server_still_sends_while_its_connection_is_closed_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    with asyncio.Runner(loop_factory=loop_factory(ProxyChoice(), {})) as runner:
        loop = runner.get_loop()
        late = ssl.SSLError(1, "[SSL: APPLICATION_DATA_AFTER_CLOSE_NOTIFY] application data after close notify")
        late.reason = "APPLICATION_DATA_AFTER_CLOSE_NOTIFY"
        loop.call_exception_handler({"message": "late", "exception": late})
        assert not caplog.records
        loop.call_exception_handler({"message": "other", "exception": ssl.SSLError(1, "other")})
        assert "other" in caplog.text
