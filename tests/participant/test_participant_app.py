"""Starting a participant that is set up wrongly: one clear error, before anything is sent."""

import asyncio
import socket
from pathlib import Path

import pytest

from participant.app import serve
from participant.settings import Settings
from protocol.sealing import OpenKey
from protocol.signing import SigningKey
from runtime.lock import FolderLock
from runtime.sections import Kafka, Keys, Metrics
from schemas.errors import LocalError


@pytest.fixture
def settings(tmp_path: Path, free_port: int) -> Settings:
    """A participant whose keys are good and whose broker is away."""
    keys = Keys(tmp_path / "site.sign", tmp_path / "site.open", tmp_path / "registrar.pub")
    SigningKey.generate().save(keys.signing)
    OpenKey.generate().save(keys.opening)
    keys.registrar.write_bytes(SigningKey.generate().public)
    return Settings(
        "site-1",
        tmp_path / "data",
        Kafka(f"127.0.0.1:{free_port}", security="plaintext-on-purpose"),
        keys,
        metrics=Metrics(port=0),
    )


@pytest.fixture
def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def start(settings: Settings) -> None:
    """Must end by itself, with what is wrong."""
    async with asyncio.timeout(20):
        await serve(settings)


async def test_a_missing_key_is_named(settings: Settings) -> None:
    settings.keys.opening.unlink()
    with pytest.raises(LocalError, match=r"site\.open"):
        await start(settings)


async def test_a_data_folder_in_use_is_refused(settings: Settings) -> None:
    lock = FolderLock(settings.data_dir)
    with pytest.raises(LocalError, match="in use by process"):
        await start(settings)
    del lock


async def test_a_metrics_port_in_use_is_named(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = Settings(
            settings.name, settings.data_dir, settings.kafka, settings.keys,
            metrics=Metrics(port=taken.getsockname()[1]),
        )  # fmt: skip
        with pytest.raises(LocalError, match="metrics port"):
            await start(busy)


async def test_a_broker_that_is_away_is_waited_for_and_the_service_stops_when_told(settings: Settings) -> None:
    (settings.data_dir / "scratch").mkdir(parents=True)
    left = settings.data_dir / "scratch" / "demo.3.update"
    left.touch()
    service = asyncio.create_task(serve(settings))
    for _ in range(1000):
        if service.done() or not left.exists():
            break
        await asyncio.sleep(0.02)
    assert not left.exists()
    await asyncio.sleep(0.2)
    assert not service.done()
    assert settings.data_dir.stat().st_mode & 0o077 == 0
    service.cancel()
    await asyncio.wait({service}, timeout=10)
    assert service.cancelled()
    FolderLock(settings.data_dir)
