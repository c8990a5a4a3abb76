"""Whether every service is well: it runs, its metrics answer, the broker is reached, nothing is alarming.

Knows:    health is asked of the services themselves; progress is read from the log.
"""

import asyncio
import time
import urllib.request
from collections.abc import Iterable

from ops.kafka.ports import HOST
from schemas import topics
from tests.faults.evidence import read_evidence
from tests.faults.federation import Federation, Service
from tests.faults.schedule import Role

_TIMEOUT_S = 2.0
_LOOK_S = 1.0


async def wait_until_well(federation: Federation, since_ms: int, seconds: float) -> list[str]:
    """What is still wrong after `seconds`, empty as soon as all is well.

    Well: every service is, and every site has been counted since `since_ms` (unix milliseconds).
    """
    until_s = time.monotonic() + seconds
    while True:
        wrong = [*await unwell(federation.services), *await _not_counted(federation, since_ms)]
        if not wrong or time.monotonic() > until_s:
            return wrong
        await asyncio.sleep(_LOOK_S)


async def unwell(services: Iterable[Service]) -> list[str]:
    """One line for each thing that is wrong with a service."""
    return [line for service in services for line in await _ask(service)]


async def _ask(service: Service) -> list[str]:
    child = service.process.child
    if child is None or child.poll() is not None:
        return [f"{service.name} does not run"]
    try:
        metrics = await asyncio.to_thread(scrape, service.place.metrics_port)
    except OSError as error:
        return [f"{service.name}: metrics do not answer ({error})"]
    return [f"{service.name}: {line}" for line in judge(service.role, metrics)]


async def leads(federation: Federation, service: Service) -> bool:
    """Whether this coordinator runs the study now, as far as it can say; the only one there is always does."""
    if federation.round.coordinators == 1:
        return True
    partition = topics.lead_partition(federation.plan.study, topics.LEAD_PARTITIONS)
    try:
        metrics = await asyncio.to_thread(scrape, service.place.metrics_port)
    except OSError:
        return False
    return metrics.get(f'wardround_coordinator_leads{{partition="{partition}"}}') == 1.0


def judge(role: Role, metrics: dict[str, float]) -> list[str]:
    """What a service's own numbers complain of; `metrics` by name, labels included."""
    room = f"wardround_{role.value}"
    wrong = [] if metrics.get(f"{room}_connected") == 1.0 else ["not connected"]
    alarms = sum(value for name, value in metrics.items() if name.startswith(f"{room}_alarms_total"))
    return [*wrong, *([f"{alarms:g} alarms"] if alarms else [])]


def scrape(port: int) -> dict[str, float]:
    """The numbers at /metrics. Raises OSError when nobody answers."""
    with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=_TIMEOUT_S) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


async def _not_counted(federation: Federation, since_ms: int) -> list[str]:
    aggregation = federation.plan.aggregation
    found = await read_evidence(
        federation.kafka, federation.plan.study, federation.round.names, staleness_max=aggregation.staleness_max
    )
    late = [site for site in federation.round.names if found.counted_ms.get(site, 0) < since_ms]
    return [f"{', '.join(late)}: not counted again"] if late else []
