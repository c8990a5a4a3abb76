"""What a coordinator does on a real broker with sites that behave, misbehave, come, go and stay away."""

import asyncio
import itertools
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry.keyfiles import make_member_keys
from registry.members import NewMember
from registry.registrar import Registrar
from schemas import topics
from schemas.plan import Plan
from schemas.records import Announcement, Outcome, Request, Role, Stop
from tests.broker.federation import Federation, Site, federation, small_plan

pytestmark = pytest.mark.broker
_studies = itertools.count()
STEP = 0.125  # exact in fixed point and float32


def plan(**parts: Any) -> Plan:
    """A plan under a study id that no other test has."""
    return small_plan(f"c{int(time.time())}-{next(_studies)}", **{"sites": 2, **parts})


def unit(index: int, length: int = 8) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """An update that only one site makes: whatever is in the model tells who was counted, how often."""
    vector = np.zeros(length, np.float32)
    vector[index] = STEP
    return vector


async def all_offer(fed: Federation, base: Announcement) -> dict[str, int]:
    return {site.name: await site.offer(base, unit(i)) for i, site in enumerate(fed.sites.values())}


def metric(fed: Federation, port: int, name: str, **labels: str) -> float:
    """One sample of the coordinator's `/metrics`."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        lines = page.read().decode().splitlines()
    wanted = [f'{key}="{value}"' for key, value in {**labels, "study": fed.study}.items()]
    found = [line for line in lines if line.startswith(name) and all(part in line for part in wanted)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found)


async def test_equal_updates_of_all_sites_make_the_next_version(kafka: Any, tmp_path: Path) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(sites=3), 3) as fed, fed.coordinator():
        await all_offer(fed, await fed.version(0))
        model = await fed.model(await fed.version(1))
        np.testing.assert_allclose(model[:4], [STEP / 3] * 3 + [0], atol=1e-7)


async def test_a_stale_update_counts_once_with_the_weight_of_its_staleness(kafka: Any, tmp_path: Path) -> None:
    gather = {"goal": 1, "minimum": 1}
    async with federation(kafka.bootstrap, tmp_path, plan(aggregation=gather), 2) as fed, fed.coordinator():
        quick, late = fed.sites.values()
        first = base = await fed.version(0)
        for version in (1, 2, 3):
            await quick.offer(base, unit(0))
            base = await fed.version(version)
        receipt = await fed.receipt(late.name, await late.offer(first, unit(1)))
        assert (receipt.outcome, receipt.weight, receipt.version) == (Outcome.COUNTED, fed.plan.weight(3), 4)
        assert (await fed.model(await fed.version(4)))[1] == STEP * receipt.weight / 16


async def test_past_the_table_an_update_is_refused_as_stale(kafka: Any, tmp_path: Path) -> None:
    gather = {"goal": 1, "minimum": 1, "staleness_max": 1, "weight_table": (16, 11)}
    async with federation(kafka.bootstrap, tmp_path, plan(aggregation=gather), 2) as fed, fed.coordinator():
        quick, late = fed.sites.values()
        first = base = await fed.version(0)
        for version in (1, 2):
            await quick.offer(base, unit(0))
            base = await fed.version(version)
        receipt = await fed.receipt(late.name, await late.offer(first, unit(1)))
        assert (receipt.outcome, receipt.code) == (Outcome.REFUSED, "stale")


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"plan": bytes(32)}, "plan"),
        ({"base_version": 7}, "malformed"),
        ({"base_digest": bytes(32)}, "malformed"),
        ({"payload_digest": bytes(32)}, "malformed"),
        ({"d": 9}, "malformed"),
        ({"cohort_min": 3}, "floor"),
        ({"subject": bytes(32)}, "box"),
    ],
    ids=[
        "another plan",
        "a future version",
        "another model",
        "other bytes",
        "another size",
        "a high floor",
        "bad seal",
    ],
)
async def test_an_offer_that_breaks_the_protocol_is_refused_and_the_round_goes_on(
    kafka: Any, tmp_path: Path, wrong: dict[str, Any], code: str
) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed, fed.coordinator():
        base = await fed.version(0)
        bad, good = fed.sites.values()
        receipt = await fed.receipt(bad.name, await bad.offer(base, unit(0), **wrong))
        assert (receipt.outcome, receipt.code) == (Outcome.REFUSED, code)
        await good.offer(base, unit(1))
        await bad.offer(base, unit(0))
        assert (await fed.version(1)).n == 2


async def test_a_body_out_of_the_plans_bounds_is_refused_as_range(kafka: Any, tmp_path: Path) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed, fed.coordinator():
        base = await fed.version(0)
        bad = next(iter(fed.sites.values()))
        bad.sequence += 1
        too_large = np.full(8, 2**30, "<i4").tobytes()
        receipt = await fed.receipt(bad.name, await bad.offer_body(base, too_large))
        assert (receipt.outcome, receipt.code) == (Outcome.REFUSED, "range")


async def test_a_body_signed_shorter_than_the_plans_is_never_counted(kafka: Any, tmp_path: Path) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed, fed.coordinator():
        base = await fed.version(0)
        bad = next(iter(fed.sites.values()))
        bad.sequence += 1
        short = {"size_bytes": fed.plan.body_bytes}
        receipt = await fed.receipt(bad.name, await bad.offer_body(base, bytes(4), **short))
        assert receipt.outcome == Outcome.AGAIN
        await all_offer(fed, base)
        assert (await fed.version(1)).n == 2
        np.testing.assert_array_equal((await fed.model(await fed.version(1)))[[0, 1, 2]], [STEP / 2, STEP / 2, 0])


async def test_a_body_with_a_flipped_byte_is_asked_for_again_and_counts_when_sent_well(
    kafka: Any, tmp_path: Path
) -> None:
    def flipped(_index: int, sealed: bytes) -> bytes:
        return bytes([sealed[0] ^ 1]) + sealed[1:]

    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed, fed.coordinator():
        base = await fed.version(0)
        bad, good = fed.sites.values()
        sequence = await bad.offer(base, unit(0), chunk=flipped)
        assert (await fed.receipt(bad.name, sequence)).outcome == Outcome.AGAIN
        await bad.offer(base, unit(0), sequence=sequence)
        await good.offer(base, unit(1))
        await fed.version(1)
        assert [one.outcome for one in await fed.receipts(bad.name)][-1] == Outcome.COUNTED


async def test_a_body_that_is_gone_is_asked_for_again(kafka: Any, tmp_path: Path) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed, fed.coordinator():
        base = await fed.version(0)
        site = next(iter(fed.sites.values()))
        sequence = await site.offer(base, unit(0), runs=((1000, 1),))
        assert (await fed.receipt(site.name, sequence)).outcome == Outcome.AGAIN


async def test_records_nobody_can_believe_are_counted_and_get_no_receipt(kafka: Any, tmp_path: Path) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed:
        port = fed.metrics_port = free_port()
        async with fed.coordinator():
            base = await fed.version(0)
            bad, good = fed.sites.values()
            await bad.offer(base, unit(0), value=lambda value: value[:-1] + bytes([value[-1] ^ 1]))  # bad signature
            await bad.offer(base, unit(0), value=lambda value: value[:100])  # truncated
            await bad.offer(base, unit(0), value=lambda value: value + bytes(600_000))  # too large
            await bad.offer(base, unit(0), topic=topics.offers(good.name))  # another site's topic
            await good.offer(base, unit(1))
            await bad.offer(base, unit(0))
            assert (await fed.version(1)).n == 2
            assert [one.outcome for one in await fed.receipts(bad.name)] == [Outcome.COUNTED]
            refused = "wardround_coordinator_records_refused_total"
            assert await asyncio.to_thread(metric, fed, port, refused, reason="malformed") == 3
            assert await asyncio.to_thread(metric, fed, port, refused, reason="stranger") == 1


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_redelivered_offer_counts_once(kafka: Any, tmp_path: Path) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed, fed.coordinator():
        base = await fed.version(0)
        for _ in range(2):
            sent = await all_offer(fed, base)
            for site in fed.sites.values():
                await site.offer(base, unit(5), sequence=sent[site.name])
            base = await fed.version(base.version + 1)
        model = await fed.model(await fed.version(2))
        np.testing.assert_allclose(model[[0, 1, 5]], [STEP, STEP, 0], atol=1e-6)


async def test_a_restarted_coordinator_goes_on_from_the_log_alone(kafka: Any, tmp_path: Path) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(stop={"versions": 6}), 2) as fed:
        base: Announcement | None = None
        for version in range(1, 7):
            async with fed.coordinator():
                base = base or await fed.version(0)
                first, second = fed.sites.values()
                await first.offer(base, unit(0))
                await asyncio.sleep(0.1 * (version % 3))
            await second.offer(base, unit(1))
            async with fed.coordinator():
                base = await fed.version(version)
        assert base is not None
        np.testing.assert_allclose((await fed.model(base))[:2], [STEP * 3, STEP * 3], atol=1e-6)
        assert (base.final, base.stop) == (True, Stop.VERSIONS)
        for site in fed.sites:
            counted = [one.sequence for one in (await fed.receipts(site))[-1].recent]
            assert counted == [1, 2, 3, 4, 5, 6]


async def test_after_the_end_an_offer_is_refused_as_final(kafka: Any, tmp_path: Path) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(stop={"versions": 1}), 2) as fed, fed.coordinator():
        base = await fed.version(0)
        await all_offer(fed, base)
        await fed.version(1)
        site = next(iter(fed.sites.values()))
        receipt = await fed.receipt(site.name, await site.offer(base, unit(0)))
        assert (receipt.outcome, receipt.code) == (Outcome.REFUSED, "final")


async def test_the_deadline_closes_a_cohort_of_the_minimum(kafka: Any, tmp_path: Path) -> None:
    gather = {"goal": 3, "minimum": 2, "deadline_ms": 1500}
    async with federation(kafka.bootstrap, tmp_path, plan(sites=3, aggregation=gather), 3) as fed, fed.coordinator():
        base = await fed.version(0)
        names = list(fed.sites)
        for index, name in enumerate(names[:2]):
            await fed.sites[name].offer(base, unit(index))
        assert (await fed.version(1)).n == 2


async def test_patience_and_target_stand_on_the_log_and_survive_a_restart(kafka: Any, tmp_path: Path) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(stop={"patience": 2}), 2) as fed:
        base: Announcement | None = None
        for version, value in enumerate((0.5, 0.9, 0.4, 0.4), start=1):
            async with fed.coordinator():
                base = base or await fed.version(0)
                for site in fed.sites.values():
                    await site.evaluate(base, value)
                await all_offer(fed, base)
                base = await fed.version(version)
                assert len(base.evaluations) == 2
        assert base is not None
        assert [(one.patience, one.stop) for one in await fed.announcements()][-3:] == [
            (0, Stop.NONE),
            (1, Stop.NONE),
            (2, Stop.PATIENCE),
        ]


async def test_a_site_joins_late_and_one_that_leaves_reads_no_later_version(kafka: Any, tmp_path: Path) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed, fed.coordinator():
        leaver, stayer = fed.sites.values()
        base = await fed.version(0)
        await all_offer(fed, base)
        base = await fed.version(1)
        joiner = await join(fed, f"{fed.study}-late")
        await leave(fed, leaver.name)
        repeated = await fed.until(lambda: epoch_after(fed, 1), "a new epoch")
        assert repeated.model.digest == base.model.digest
        np.testing.assert_array_equal(await joiner.fetch(repeated), await stayer.fetch(repeated))
        with pytest.raises(Exception, match="key"):
            await leaver.fetch(repeated)
        await stayer.offer(repeated, unit(1))
        await joiner.offer(repeated, unit(2))
        await fed.version(2)
        cohort = [record for record in await fed.rounds() if isinstance(record, Request)][-1]
        assert {entry.site for entry in cohort.entries} <= {stayer.name, joiner.name}


async def epoch_after(fed: Federation, epoch: int) -> Announcement | None:
    newest = (await fed.announcements())[-1]
    return newest if newest.key_epoch >= epoch else None


async def join(fed: Federation, name: str) -> Site:
    card = make_member_keys(name, fed.folder)
    async with Registrar(fed.kafka, fed.registrar) as office:
        await office.publish_members([NewMember(card, (Role.SITE,))])
        await office.publish_roster()
    fed.sites[name] = Site(fed, card)
    return fed.sites[name]


async def leave(fed: Federation, name: str) -> None:
    async with Registrar(fed.kafka, fed.registrar) as office:
        await office.revoke(name)
