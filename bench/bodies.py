"""`python -m bench.bodies`: bodies alone, up and down one loopback connection, by how many chunks share a batch.

Knows:    CPU seconds are the kernel's account of this process and of the broker; the faster of two passes is shown.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.measure import cpu_seconds
from ops.kafka import Broker
from runtime import logs
from runtime.service import keep_freed_memory, report
from schemas import topics
from schemas.errors import FederationError
from tests.broker.access import reach, start_broker
from transport.admin import Admin, TopicSpec
from transport.bodies import BodyReader, BodyWriter
from transport.settings import SEALED_CHUNK_BYTES, batch_bytes
from transport.staying.link import Link

BATCHES = (1, 2, 4)
PASSES = 2


@dataclass(frozen=True, slots=True)
class Rate:
    """MB (10**6 bytes) a second, and a CPU second of this client and of the broker."""

    second: float
    client: float
    broker: float


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.bodies", description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, default=200, help="size of the body (default: 200)")
    given = parser.parse_args(arguments)
    logs.configure("error")
    keep_freed_memory()
    try:
        rows = asyncio.run(_run(max(1, given.mb * 10**6 // SEALED_CHUNK_BYTES)))
    except FederationError as error:
        return report(error)
    except KeyboardInterrupt:
        return 130
    table = Table(title=f"a body of {given.mb} MB; MB a second, and a CPU second of client and broker")
    for heading in ("chunks a batch", "way", "MB/s", "client MB/CPU s", "broker MB/CPU s"):
        table.add_column(heading, justify="right" if "MB" in heading else "left")
    for chunks, way, rate in rows:
        table.add_row(str(chunks), way, f"{rate.second:.0f}", f"{rate.client:.0f}", f"{rate.broker:.0f}")
    Console(file=sys.stdout).print(table)
    return 0


async def _run(count: int) -> list[tuple[int, str, Rate]]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="wardround-bodies-", ignore_cleanup_errors=True) as folder:
        broker = await asyncio.to_thread(start_broker, Path(folder) / "broker")
        try:
            for chunks in BATCHES:
                up, down = await _batches(broker, chunks, count)
                rows += [(chunks, "up", up), (chunks, "down", down)]
        finally:
            await asyncio.to_thread(broker.stop)
    return rows


async def _batches(broker: Broker, chunks: int, count: int) -> tuple[Rate, Rate]:
    settings = reach(broker.bootstrap, "bench", batch_bytes=batch_bytes(chunks=chunks))
    link, topic = Link(settings), topics.bodies(f"batches-of-{chunks}")
    admin, writer, reader = Admin(settings, link), BodyWriter(settings, link), BodyReader(settings, link)
    data = [os.urandom(SEALED_CHUNK_BYTES) for _ in range(4)]
    config = topics.site_topics(f"batches-of-{chunks}", size_cap_bytes=1 << 40)[topic]
    runs: tuple[tuple[int, int], ...] = ()

    async def up() -> None:
        nonlocal runs
        runs = await writer.upload(topic, count, lambda index: data[index % 4])

    async def down() -> None:
        async for values in reader.batches(topic, runs):
            values.clear()

    try:
        await admin.create_topics([TopicSpec(topic, config=config)])
        return await _rate(up, count, broker), await _rate(down, count, broker)
    finally:
        await asyncio.gather(admin.close(), writer.close(), reader.close())


async def _rate(work: Callable[[], Awaitable[None]], count: int, broker: Broker) -> Rate:
    """The faster of two passes after one that is not counted: connections, caches and the broker's code get warm."""
    mb, best = count * SEALED_CHUNK_BYTES / 1e6, Rate(0.0, 0.0, 0.0)
    await work()
    for _ in range(PASSES):
        began_s, own_s, its_s = time.perf_counter(), time.process_time(), cpu_seconds(broker.pid or 0)
        await work()
        took_s, broker_s = time.perf_counter() - began_s, cpu_seconds(broker.pid or 0) - its_s
        rate = Rate(mb / took_s, mb / (time.process_time() - own_s), mb / max(broker_s, 0.01))
        best = max(best, rate, key=lambda one: one.second)
    return best


if __name__ == "__main__":
    sys.exit(main())
