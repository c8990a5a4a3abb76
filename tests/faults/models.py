"""Every version again, two ways: bit for bit from the bodies on the log, and by counting what its Request names.

Knows:    the audit's own path (protocol.recompute), which shares no code with the coordinator; and Tally, which
          shares none with the audit.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from audit.recompute import Audit, Auditor
from protocol.sealing import OpenKey
from schemas.errors import FederationError
from tests.faults.tally.task import Tally
from transport.settings import KafkaSettings

FURTHEST = 3e-5  # float32 roundings of a thousand versions; one update more or less is 6e-5 at least


@dataclass(frozen=True, slots=True)
class Models:
    """How many versions were recomputed, and which are not what they must be."""

    recomputed: int
    differences: tuple[str, ...]


async def recompute_all(kafka: KafkaSettings, registrar: bytes, opening: Path, study: str) -> Models:
    """Check the log's chain and signatures, then every version on it."""
    auditor = Auditor(kafka, registrar, OpenKey.load(opening))
    differences: list[str] = []
    tally, version = Tally(), 0
    try:
        log = await auditor.read(study)
        for version in range(1, max(log.made) + 1):
            audit = await auditor.check_version(log, version)
            differences += [f"version {version}: {name} is not what the bodies give" for name in audit.differences]
            differences += await asyncio.to_thread(_miscounted, tally, audit)
    except FederationError as error:
        differences.append(f"version {version} cannot be recomputed: {error}")
    finally:
        await auditor.close()
    return Models(version, tuple(differences))


def _miscounted(tally: Tally, audit: Audit) -> list[str]:
    tally.count((entry.site, entry.weight) for entry in audit.request.entries)
    furthest = tally.furthest(audit.computed.model)
    return [f"version {audit.announced.version}: a parameter is off by {furthest:g}"] if furthest > FURTHEST else []
