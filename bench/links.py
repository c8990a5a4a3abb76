"""`python -m bench.links`: a large body over bad links, up and down: how long, and how much had to be sent twice.

Knows:    what passes the link is counted where it passes; what a cut loses depends on the bytes between two cuts, so a
          shorter time between cuts is honest at a speed that is higher by as much.
Never:    opens or digests as participants do; chunks are told apart by their index and compared by their bytes.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ops.kafka import Broker
from ops.kafka.ports import HOST, free_ports
from ops.link_proxy import LinkProxy
from ops.link_quality import Quality
from runtime import logs
from runtime.service import keep_freed_memory, report
from schemas import topics
from schemas.errors import FederationError, LocalError
from tests.broker.access import reach, start_broker
from transport.admin import Admin, TopicSpec
from transport.bodies import BodyReader, BodyWriter, runs_of
from transport.settings import SEALED_CHUNK_BYTES, KafkaSettings
from transport.staying.link import Link
from transport.writing.writer import Writer

OUT = Path("out/bench")
DOWN_S = 2.0  # how long a cut lasts
_LISTENER = "LINK"


@dataclass(frozen=True, slots=True)
class BadLink:
    """`size_mb` (10**6 bytes) over a link of `bytes_s` a second each way, cut every `cut_s` seconds (None: never).

    At every second cut the client is started anew as well, with what it would remember on disk.
    """

    name: str
    size_mb: float
    bytes_s: float
    cut_s: float | None = None
    down_s: float = DOWN_S

    @property
    def chunks(self) -> int:
        return math.ceil(self.size_mb * 1e6 / SEALED_CHUNK_BYTES)


SCALED = (BadLink("cut", 1000, 24e6, cut_s=10), BadLink("slow", 30, 500e3))
FULL = (BadLink("cut", 1000, 4e6, cut_s=60), BadLink("slow", 1000, 500e3))


@dataclass(frozen=True, slots=True)
class Passage:
    """One body over one link in one direction."""

    link: str
    direction: str
    size_mb: float
    kb_s: float
    cut_s: float | None
    seconds: float
    cuts: int
    restarts: int
    resent_share: float  # of the body's bytes, whatever else the protocol sends included


@dataclass(slots=True)
class _Trouble:
    """Cuts the link now and then; `restart` is set when the client has to begin anew."""

    proxy: LinkProxy
    link: BadLink
    cuts: int = 0
    restarts: int = 0
    restart: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        while self.link.cut_s is not None:
            await asyncio.sleep(self.link.cut_s)
            await self.proxy.cut()
            self.cuts += 1
            if self.cuts % 2 == 0:
                self.restarts += 1
                self.restart.set()
            await asyncio.sleep(self.link.down_s)
            await self.proxy.restore()


@dataclass(slots=True)
class Kept:
    """What survives a restart of the client, as on a participant's disk."""

    acked: dict[int, int] = field(default_factory=dict)  # chunk -> offset
    came: int = 0  # chunks that were fetched and checked


class Body:
    """Chunks as large as sealed ones: the same noise, each begun with its index."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._noise = os.urandom(SEALED_CHUNK_BYTES - 8)

    def chunk(self, index: int) -> bytes:
        return index.to_bytes(8, "big") + self._noise

    def digest(self, index: int) -> bytes:
        return hashlib.sha256(self.chunk(index)).digest()


async def over(link: BadLink, broker: Broker, proxy: LinkProxy) -> list[Passage]:
    """Send a body up over a bad link, then fetch it over the same link. Raises LocalError when it is not the same."""
    site, body = f"bench-links-{link.name}", Body(link.chunks)
    topic, wanted = topics.bodies(site), topics.site_topics(site, size_cap_bytes=-1)
    direct = reach(broker.bootstrap, "bench-links")
    settings = reach(f"{HOST}:{proxy.port}", "bench-links")
    admin = Admin(direct, Link(direct))
    await admin.create_topics([TopicSpec(topic, config=wanted[topic])])
    proxy.quality = Quality(up_bytes_s=link.bytes_s, down_bytes_s=link.bytes_s)
    kept = Kept()
    try:
        up = await _passage(link, "up", proxy, lambda: _up(settings, topic, body, kept))
        down = await _passage(link, "down", proxy, lambda: _down(settings, topic, body, kept))
    finally:
        await admin.close()
    if kept.came != body.count:
        raise LocalError(f"{kept.came} of {body.count} chunks came down over {link.name}")
    return [up, down]


async def _passage(
    link: BadLink, direction: str, proxy: LinkProxy, work: Callable[[], Coroutine[Any, Any, None]]
) -> Passage:
    """Do the work through the trouble; what it has got stays over restarts."""
    before, began_s = _passed(proxy, direction), time.monotonic()
    trouble = _Trouble(proxy, link)
    cutting = asyncio.create_task(trouble.run())
    try:
        await _with_restarts(trouble, work)
    finally:
        cutting.cancel()
        await asyncio.gather(cutting, return_exceptions=True)
        await proxy.restore()
    size = link.chunks * SEALED_CHUNK_BYTES
    return Passage(
        link.name, direction, link.size_mb, link.bytes_s / 1e3, link.cut_s, time.monotonic() - began_s,
        trouble.cuts, trouble.restarts, (_passed(proxy, direction) - before) / size - 1,
    )  # fmt: skip


async def _with_restarts(trouble: _Trouble, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `work`; begin it anew whenever trouble wants that, as a process that was killed and started again."""
    while True:
        trouble.restart.clear()
        task, killed = asyncio.create_task(work()), asyncio.create_task(trouble.restart.wait())
        await asyncio.wait({task, killed}, return_when=asyncio.FIRST_COMPLETED)
        killed.cancel()
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _up(settings: KafkaSettings, topic: str, body: Body, kept: Kept) -> None:
    """Upload what is not acknowledged yet."""
    link = Link(settings)
    writer = Writer(settings, link)
    bodies = BodyWriter(settings, link, writer)
    try:
        await bodies.upload(topic, body.count, body.chunk, acked=dict(kept.acked), on_acked=kept.acked.__setitem__)
    finally:
        await writer.close()


async def _down(settings: KafkaSettings, topic: str, body: Body, kept: Kept) -> None:
    """Fetch what has not come yet, in order. Raises LocalError for a chunk that is another one."""
    reader = BodyReader(settings, Link(settings))
    offsets = [kept.acked[index] for index in range(kept.came, body.count)]
    chunks = reader.chunks(topic, runs_of(offsets))
    try:
        async for chunk in chunks:
            if hashlib.sha256(chunk).digest() != body.digest(kept.came):
                raise LocalError(f"chunk {kept.came} of {topic} came down changed")
            kept.came += 1
    finally:
        await chunks.aclose()
        await reader.close()


def _passed(proxy: LinkProxy, direction: str) -> int:
    return proxy.bytes_up if direction == "up" else proxy.bytes_down


@contextlib.asynccontextmanager
async def linked_broker(folder: Path) -> AsyncIterator[tuple[Broker, LinkProxy]]:
    """A broker, and a link that its clients come through."""
    port = free_ports(1)[0]
    broker = await asyncio.to_thread(start_broker, folder / "broker", extra_listeners={_LISTENER: port})
    proxy = LinkProxy(broker.listener_port(_LISTENER), port=port)
    try:
        await proxy.start()
        yield broker, proxy
    finally:
        await proxy.close()
        await asyncio.to_thread(broker.stop)


def main() -> int:
    """Measure and print; the numbers also go to out/bench/links.json."""
    parser = argparse.ArgumentParser(prog="python -m bench.links", description=__doc__.splitlines()[0])
    parser.add_argument("links", nargs="*", help="cut, slow; default: both")
    parser.add_argument("--full", action="store_true", help="1 GB cut every minute, and at 500 kB/s: over an hour")
    parser.add_argument("--size-mb", type=float, help="size of each body instead of the default")
    arguments = parser.parse_args()
    logs.configure("error")
    keep_freed_memory()
    chosen: tuple[BadLink, ...] = FULL if arguments.full or os.environ.get("FULL") == "1" else SCALED
    if unknown := sorted(set(arguments.links) - {link.name for link in chosen}):
        parser.error(f"no link {', '.join(unknown)}; links are cut and slow")
    chosen = tuple(link for link in chosen if link.name in (arguments.links or ("cut", "slow")))
    if arguments.size_mb:
        chosen = tuple(replace(link, size_mb=arguments.size_mb) for link in chosen)
    try:
        passages = asyncio.run(_measure(chosen))
    except FederationError as error:
        return report(error)
    except KeyboardInterrupt:
        return 130
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "links.json").write_text(json.dumps([asdict(one) for one in passages], indent=1))
    Console(file=sys.stdout, width=120).print(_table(passages))
    return 0


async def _measure(links: tuple[BadLink, ...]) -> list[Passage]:
    found: list[Passage] = []
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="wardround-bench-", ignore_cleanup_errors=True) as folder:
        async with linked_broker(Path(folder)) as (broker, proxy):
            for link in links:
                with console.status(f"{link.name}: {link.size_mb:g} MB up and down at {link.bytes_s / 1e3:g} kB/s"):
                    found += await over(link, broker, proxy)
    return found


def _table(passages: list[Passage]) -> Table:
    table = Table(title="a body over a bad link", title_justify="left")
    for heading in ("link", "way", "MB", "kB/s", "cut every s", "took s", "cuts", "restarts", "sent twice"):
        table.add_column(heading, justify="left" if heading in ("link", "way") else "right")
    for one in passages:
        cut = "-" if one.cut_s is None else f"{one.cut_s:g}"
        table.add_row(
            one.link, one.direction, f"{one.size_mb:g}", f"{one.kb_s:g}", cut, f"{one.seconds:.1f}",
            str(one.cuts), str(one.restarts), f"{100 * one.resent_share:.2f} %",
        )  # fmt: skip
    return table


if __name__ == "__main__":
    sys.exit(main())
