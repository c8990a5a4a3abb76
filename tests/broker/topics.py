"""Reads and writes a topic as tests do: so many records, each waited for."""

import asyncio

from transport.reading.log import Entry, LogReader
from transport.settings import KafkaSettings
from transport.staying.link import Link
from transport.writing.writer import Writer


async def read(reader: LogReader, count: int, seconds: float = 30) -> list[Entry]:
    entries: list[Entry] = []
    async with asyncio.timeout(seconds):
        while len(entries) < count:
            entries += await reader.batch(wait_ms=200)
    return entries


async def write(settings: KafkaSettings, link: Link, topic: str, *values: bytes) -> None:
    writer = Writer(settings, link)
    for value in values:
        await writer.send(topic, value)
    await writer.close()


def numbers(entries: list[Entry]) -> list[int]:
    return [int(entry.value or b"-1") for entry in entries]
