"""How long `wardround status` takes on a log with weeks of signs of life: `python -m bench.status`.

Writes a study of quiet sites on a broker of its own, each Presence in a batch of its own as participants write it, and
prints the seconds of `status`, of `report` and of the history from Python, each as a fresh process or connection.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from aiokafka import AIOKafkaProducer

from audit.federation import AsyncFederation
from protocol.digests import digest_of
from protocol.signing import SigningKey
from registry.keyfiles import make_member_keys, make_registrar_keys
from registry.members import NewMember
from registry.pki.authority import utc_now
from registry.pki.issuing import registrar_tls
from registry.plans.draft import TaskFacts, plan_from_toml
from registry.registrar import Registrar
from schemas import topics
from schemas.plan import Plan
from schemas.records import Presence, Role, SiteState
from tests.broker.access import authority, reach, start_broker

STUDY = "quiet"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.status", description=__doc__)
    parser.add_argument("--presences", type=int, default=200_000, help="how many records in all (default: 200,000)")
    parser.add_argument("--sites", type=int, default=100, help="on so many topics (default: 100)")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        broker = start_broker(Path(folder) / "broker")
        try:
            print(
                json.dumps(asyncio.run(measure(broker.bootstrap, Path(folder), arguments.sites, arguments.presences)))
            )
        finally:
            broker.stop()
    return 0


async def measure(bootstrap: str, folder: Path, sites: int, presences: int) -> dict[str, float]:
    """Seconds by what was done; `records` and `sites` beside them."""
    names = [f"site-{number}" for number in range(sites)]
    await _publish(bootstrap, folder, names)
    written = await write_presences(bootstrap, folder, STUDY, names, presences)
    public = ("--registrar", str(folder / "registrar.pub"), "--broker", bootstrap)
    seconds = {
        "status_s": await asyncio.to_thread(_command, "status", STUDY, *public),
        "report_s": await asyncio.to_thread(_command, "report", STUDY, "--out", str(folder / "r.html"), *public),
    }
    async with AsyncFederation(bootstrap, registrar_key=folder / "registrar.pub") as federation:
        began_s = time.monotonic()
        history = await federation.history(STUDY)
        seconds["history_s"] = round(time.monotonic() - began_s, 2)
        assert all(site.seen_ms for site in history.sites.values())
    return {"records": written, "sites": sites, **seconds}


async def write_presences(bootstrap: str, folder: Path, study: str, names: Sequence[str], count: int) -> int:
    """So many signs of life, shared out evenly, each in a batch of its own; returns how many were written."""
    keys = {name: SigningKey.load(folder / f"{name}.sign") for name in names}
    states = [SiteState.IDLE] * 19 + [SiteState.TRAINING]
    values = {
        name: [key.sign(Presence(name, ((study, int(state)),), "wardround 0.1.0")).to_bytes() for state in states]
        for name, key in keys.items()
    }
    producer = AIOKafkaProducer(**reach(bootstrap, "bench").how, max_batch_size=200, acks=1)
    await producer.start()
    each = -(-count // len(names))
    for number in range(each):
        sent = [
            await producer.send(topics.offers(name), values[name][number % len(states)], partition=0) for name in names
        ]
        await asyncio.gather(*sent)
    await producer.stop()
    return each * len(names)


async def _publish(bootstrap: str, folder: Path, names: Sequence[str]) -> None:
    registrar = make_registrar_keys(folder)
    registrar_tls(authority(), folder / "registrar.sign", utc_now())
    cards = [make_member_keys(name, folder) for name in ("coordinator", *names)]
    roles = {"coordinator": Role.COORDINATOR}
    async with Registrar(reach(bootstrap, "bench-status"), registrar) as office:
        await office.publish_members([NewMember(card, (roles.get(card.name, Role.SITE),)) for card in cards])
        await office.publish_roster()
        await office.create_study(_plan(names), bytes(4))


def _plan(names: Sequence[str]) -> Plan:
    """A study of one number, whose code nobody runs here."""
    facts = TaskFacts(1, bytes(32), digest_of([bytes(4)]), "metric", higher_is_better=True)
    sites = ", ".join(f'"{name}"' for name in names)
    return plan_from_toml(
        f'[study]\nid = "{STUDY}"\ntitle = "{STUDY}"\n[members]\nsites = [{sites}]\n'
        '[task]\nentry = "bench.task:kb10"\n'
        '[training]\noptimiser = "sgd"\nlearning_rate = 1.0\nepochs = 1\n'
        '[aggregation]\npreset = "fedbuff"\n[encoding]\nclip = 1.0\n[stop]\nversions = 10\n',
        facts,
    )


def _command(*words: str) -> float:
    began_s = time.monotonic()
    subprocess.run([sys.executable, "-m", "wardround", *words], check=True, stdout=subprocess.DEVNULL)
    return round(time.monotonic() - began_s, 2)


if __name__ == "__main__":
    sys.exit(main())
