"""An operator's commands on a real broker: obeyed, kept over restarts, fallen with a revoked key, told in words."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from audit.federation import AsyncFederation as View
from protocol.key_files import read_registrar_key
from protocol.rings import SignRing
from registry.commands import Given, command
from registry.keyfiles import make_member_keys
from registry.members import NewMember
from registry.pki.authority import utc_now
from registry.pki.issuing import certify, install_beside
from registry.registrar import Registrar
from schemas import topics
from schemas.errors import LocalError
from schemas.records import Action, Command, Outcome, Role, Stop
from tests.broker.access import authority, registrar_tls_folder
from tests.broker.federation import Federation, federation
from tests.broker.test_coordinator import all_offer, metric, plan, unit

pytestmark = pytest.mark.broker
Act = Callable[..., Awaitable[Given]]


async def operator(fed: Federation) -> Act:
    """Publish an operator; returns what it can do."""
    card = make_member_keys(f"{fed.study}-operator", fed.folder)
    async with Registrar(fed.kafka, fed.registrar) as office:
        await office.publish_members([NewMember(card, (Role.OPERATOR,))])
        await office.publish_roster()
    install_beside(fed.folder / f"{card.name}.pub", certify(authority(), card, [Role.OPERATOR], utc_now()))
    key = SignRing.load(fed.folder / f"{card.name}.sign")

    def act(action: Action, site: str | None = None) -> Awaitable[Given]:
        return command(fed.kafka, registrar_key(fed), key, fed.study, action, site=site, reason="as agreed")

    return act


def registrar_key(fed: Federation) -> bytes:
    return read_registrar_key(fed.folder / "registrar.pub")


async def paused(fed: Federation, port: int, value: float) -> None:
    """The coordinator has heard of a pause, or of its end."""

    async def found() -> bool | None:
        try:
            return True if await asyncio.to_thread(metric, fed, port, "wardround_coordinator_paused") == value else None
        except OSError:
            return None

    await fed.until(found, "what the operator commanded")


async def test_a_pause_lasts_over_a_restart_and_loses_no_offer(kafka: Any, tmp_path: Path, free_port: int) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed:
        act, fed.metrics_port = await operator(fed), free_port
        async with fed.coordinator():
            base = await fed.version(0)
            assert (await act(Action.PAUSE)).new
            assert not (await act(Action.PAUSE)).new
            await paused(fed, free_port, 1)
            await all_offer(fed, base)
            await asyncio.sleep(0.5)
        fed.metrics_port = 0
        async with fed.coordinator():
            await asyncio.sleep(1.5)
            assert (await fed.announcements())[-1].version == 0
            await act(Action.RESUME)
            assert (await fed.version(1)).n == 2


async def test_an_excluded_site_reads_why_and_the_others_go_on(kafka: Any, tmp_path: Path) -> None:
    gather = {"goal": 1, "minimum": 1}
    async with federation(kafka.bootstrap, tmp_path, plan(aggregation=gather), 2) as fed:
        act = await operator(fed)
        out, stays = fed.sites.values()
        async with fed.coordinator():
            base = await fed.version(0)
            await act(Action.EXCLUDE, out.name)
        async with fed.coordinator():
            receipt = await fed.receipt(out.name, await out.offer(base, unit(0)))
            assert (receipt.outcome, receipt.code) == (Outcome.REFUSED, "excluded")
            await stays.offer(base, unit(1))
            base = await fed.version(1)
            await act(Action.INCLUDE, out.name)
            await out.offer(base, unit(0))
            assert (await fed.version(2)).n == 1
        async with View(fed.bootstrap, registrar_key=registrar_key(fed), tls=registrar_tls_folder()) as view:
            history = await view.history(fed.study)
        assert [Action(one.command.action) for one in history.commands] == [Action.EXCLUDE, Action.INCLUDE]
        assert history.orders.excluded == frozenset()


async def test_a_round_closes_on_command_with_the_minimum_and_a_stop_ends_the_study(kafka: Any, tmp_path: Path) -> None:
    gather = {"goal": 3, "minimum": 1, "deadline_ms": 3_600_000}
    async with federation(kafka.bootstrap, tmp_path, plan(sites=3, aggregation=gather), 3) as fed, fed.coordinator():
        act = await operator(fed)
        base = await fed.version(0)
        first, second, _ = fed.sites.values()
        await first.offer(base, unit(0))
        await act(Action.CLOSE)
        base = await fed.version(1)
        assert base.n == 1
        await second.offer(base, unit(1))
        await act(Action.STOP)

        async def ended() -> bool | None:
            return True if (await fed.announcements())[-1].stop == Stop.OPERATOR else None

        await fed.until(ended, "the end")
        assert [one.version for one in await fed.announcements()] == [0, 1, 1]
        assert (await fed.receipt(second.name, 1)).code == "final"
        with pytest.raises(LocalError, match="has ended"):
            await act(Action.RESUME)


async def test_what_a_revoked_key_commanded_holds_no_more(kafka: Any, tmp_path: Path, free_port: int) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed:
        act, fed.metrics_port = await operator(fed), free_port
        async with fed.coordinator():
            await all_offer(fed, await fed.version(0))
            base = await fed.version(1)
            await act(Action.PAUSE)
            await paused(fed, free_port, 1)
            await all_offer(fed, base)
            async with Registrar(fed.kafka, fed.registrar) as office:
                await office.revoke(f"{fed.study}-operator")
            assert (await fed.version(2)).n == 2
            with pytest.raises(LocalError, match="no operator's"):
                await act(Action.PAUSE)


async def test_a_site_commands_nothing(kafka: Any, tmp_path: Path, free_port: int) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed:
        fed.metrics_port = free_port
        async with fed.coordinator():
            base = await fed.version(0)
            site = next(iter(fed.sites.values()))
            for value in (site.signing.sign(Command(fed.study, 1, Action.STOP, None, None, "")).to_bytes(), b"stop"):
                await fed.writer.send(topics.commands(fed.study), value)
            await all_offer(fed, base)
            assert not (await fed.version(1)).final


async def test_the_command_tells_people_and_scripts_what_happened(kafka: Any, tmp_path: Path) -> None:
    async with federation(kafka.bootstrap, tmp_path, plan(), 2) as fed:
        await operator(fed)
        key, public = fed.folder / f"{fed.study}-operator.sign", fed.folder / "registrar.pub"
        shared = ["--reason", "moved", "--key", str(key), "--registrar", str(public), "--broker", fed.bootstrap]
        code, said, _ = await wardround("operator", "pause", fed.study, *shared, "--json")
        assert code == 0
        assert json.loads(said) == {
            "study": fed.study, "action": "pause", "site": None, "operator": f"{fed.study}-operator", "serial": 1,
            "new": True,
        }  # fmt: skip
        code, said, _ = await wardround("operator", "pause", fed.study, *shared)
        assert (code, said.strip()) == (0, f"study {fed.study} is paused already")
        code, _, said = await wardround("operator", "exclude", fed.study, f"{fed.study}-9", *shared)
        assert (code, "is no site of study" in said, "did you mean" in said) == (2, True, True)
        status = ["status", fed.study, "--registrar", str(public), "--broker", fed.bootstrap]
        code, said, _ = await wardround(*status)
        assert ", paused" in said
        assert f"last command: pause by {fed.study}-operator" in said
        assert json.loads((await wardround(*status, "--json"))[1])["studies"][0]["paused"] is True


async def wardround(*words: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "wardround", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()
