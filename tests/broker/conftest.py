"""Brokers for tests: one for the whole session, and one that a test may kill."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient

from ops.kafka import Broker
from ops.kafka.ports import free_ports
from ops.link_proxy import LinkProxy
from schemas.topics import BATCH_BYTES_MAX
from tests.broker.access import reach, start_broker
from transport.admin import Admin, TopicSpec, within
from transport.settings import KafkaSettings
from transport.staying import absent
from transport.staying.link import Link


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The broker that all tests share: topics of your own, please, and never stop it. `.bootstrap` is its address."""
    broker = start_broker(tmp_path_factory.mktemp("kafka") / "broker")
    yield broker
    broker.stop()


@pytest.fixture
def mortal_kafka(tmp_path: Path) -> Iterator[Broker]:
    """A broker of this test alone: `kill()`, then `launch()` and `wait_ready()` on the same ports."""
    broker = start_broker(tmp_path / "broker")
    yield broker
    broker.stop()


@pytest_asyncio.fixture
async def cut_link(kafka: Broker, tmp_path: Path) -> AsyncIterator[tuple[LinkProxy, str]]:
    """A proxy before a broker of its own with the address behind it, for cuts that no other test may feel."""
    proxy = LinkProxy(0)
    broker = await asyncio.to_thread(start_broker, tmp_path / "far", extra_listeners={"LINK": proxy.port})
    proxy.target_port = broker.listener_port("LINK")
    await proxy.start()
    yield proxy, f"127.0.0.1:{proxy.port}"
    await proxy.close()
    await asyncio.to_thread(broker.stop)


@pytest.fixture(scope="session")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Broker, int]]:
    """A broker that is also reached over a link, and the port of that link."""
    port = free_ports(1)[0]
    broker = start_broker(tmp_path_factory.mktemp("far") / "broker", extra_listeners={"LINK": port})
    yield broker, port
    broker.stop()


@pytest_asyncio.fixture
async def far_link(far: tuple[Broker, int]) -> AsyncIterator[LinkProxy]:
    """The link to it, whole at the beginning of each test."""
    broker, port = far
    proxy = LinkProxy(broker.listener_port("LINK"), port=port)
    await proxy.start()
    yield proxy
    await proxy.close()


@pytest.fixture
def settings(kafka: Broker) -> KafkaSettings:
    """How to reach the shared broker."""
    return reach(kafka.bootstrap, "tests", fetch_wait_ms=50)


@pytest.fixture
def link(settings: KafkaSettings) -> Link:
    return Link(settings)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process a topic that the broker does not tell of is missing at once."""
    monkeypatch.setattr(absent, "ASKED_AGAIN_S", (0.1,))


@pytest.fixture
def name() -> Callable[[str], str]:
    """name("rounds") -> a topic name that no other test uses."""
    suffix = uuid.uuid4().hex[:12]
    return lambda stem: f"test.{stem}.{suffix}"


async def make_topics(settings: KafkaSettings, *names: str, **config: str) -> None:
    """Create topics with one partition that take bodies; settings in Kafka's words with `_` for `.`."""
    link = Link(settings)
    admin = Admin(settings, link)
    words = {"max.message.bytes": str(BATCH_BYTES_MAX), **{key.replace("_", "."): config[key] for key in config}}
    try:
        specs = [TopicSpec(topic, config=words) for topic in names]
        await within(admin.create_topics(specs), 30, link)
    finally:
        await admin.close()


async def delete_topics(settings: KafkaSettings, *names: str) -> None:
    """Delete topics by hand, and wait until the broker tells of them no more."""
    client, admin = AIOKafkaAdminClient(**settings.how), Admin(settings, Link(settings))
    await client.start()
    await client.delete_topics(list(names))
    await client.close()
    try:
        async with asyncio.timeout(30):
            while await admin.existing(names):  # noqa: ASYNC110  # a broker tells nobody of it
                await asyncio.sleep(0.05)
    finally:
        await admin.close()


@pytest.fixture
def free_port() -> int:
    """A loopback port on which nobody listens."""
    return free_ports(1)[0]
