"""Brings the demo's federation up: torch, Kafka, keys side by side, then members, plans, services; plays the acts.

Knows:    what has to be there before what; which sites reach the broker through a link that can be cut.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from learning.places import place_of
from ops.kafka import Broker, BrokerKeys, Kafka
from ops.kafka.ports import HOST, free_ports
from ops.link_proxy import LinkProxy
from participant.shell.control import STATE
from registry.keyfiles import tls_folder
from registry.members import NewMember
from registry.pki.authority import utc_now
from registry.pki.issuing import broker_keys
from registry.plans.authoring import read_signed_plan
from registry.plans.draft import TaskFacts
from registry.registrar import Registrar
from schemas.errors import LocalError
from schemas.plan import Plan
from schemas.records import Role
from wardround.demo.processes import Process, Processes
from wardround.demo.rehearsal import Rehearsal
from wardround.demo.script import Act, Cast, Script, cast
from wardround.demo.stage import (
    COORDINATOR,
    Stage,
    coordinator_settings,
    make_keys,
    participant_settings,
    presence_period_s,
)

SETUP_S = 120.0
SITES_FEW = 20
STARTING, TOLD_EACH = "starting the sites", 25
STARTING_MAX = 4 * max(2, os.cpu_count() or 1)
_LOOK_S = 0.03
Tell = Callable[[str], None]


class Running:
    """One demo federation. `begin`, then `come_up`, then `play` the acts as they fall due."""

    def __init__(self, rehearsal: Rehearsal, processes: Processes) -> None:
        """Raises LocalError for a plan that is wrong."""
        self._rehearsal, self.processes = rehearsal, processes
        drafts = rehearsal.drafts()
        rough = drafts[0].plan(TaskFacts(1, bytes(32), bytes(32), "metric", higher_is_better=True))
        self.sites = drafts[0].sites
        self.titles = {draft.study: rough.title if draft is drafts[0] else draft.study for draft in drafts}
        self._modules = sorted({draft.entry.split(":")[0] for draft in drafts})
        self.period_s = presence_period_s(len(self.sites))
        self.cast: Cast = cast(self.sites, rough.aggregation.goal) if rehearsal.eventful else Cast(None, ())
        self.script = Script(self.cast, rough.stop.versions, rough.aggregation.staleness_max)
        self.plans: list[Plan] = []
        self.links: dict[str, LinkProxy] = {}
        self._stage: Stage | None = None
        self._broker: Broker | None = None

    @property
    def stage(self) -> Stage:
        assert self._stage is not None
        return self._stage

    @property
    def _place(self) -> Path | None:
        """What trainers look for the task in, when it is not installed."""
        folder = self._rehearsal.task_folder
        return place_of(folder, f"{self._modules[0]}:task") if folder else None

    @property
    def bootstrap(self) -> str:
        assert self._broker is not None
        return self._broker.bootstrap

    @property
    def plans_folder(self) -> Path:
        return self.processes.folder / "plans"

    @property
    def folders(self) -> dict[str, Path]:
        """The data folder of every site that was started."""
        return {site: self.stage.data_folder(site) for site in self.sites if site in self.processes.all}

    async def begin(self, kafka: Kafka) -> None:
        """Start what takes long: the plan's author and the fork server (they import torch), and the broker."""
        folder = self.processes.folder
        self._stage = make_keys(folder, self.sites)
        self._start_central()
        preload = [word for module in self._modules for word in ("--preload", module)]
        preload += ["--look-in", str(self._place)] if self._place else []
        self.processes.start(
            "fork-server", "--socket", str(self.stage.socket), *preload,
            service=False, module="participant.training.fork_server",
        )  # fmt: skip
        listeners = {f"LINK{number}": site for number, site in enumerate(self.cast.cut)}
        ports = dict(zip(listeners, free_ports(len(listeners)), strict=True))
        keys = BrokerKeys(*broker_keys(self.stage.authority, [HOST], utc_now()))
        broker = Broker.start(
            folder / "broker",
            keys=keys,
            extra_listeners=ports,
            kafka=kafka,
            heap_mb=_heap_mb(len(self.sites)),
            wait_s=0,
        )
        self._broker = broker
        self.processes.add(Process("broker", broker.argv, broker.cwd, dict(broker.env), broker.pid or 0, broker.log))
        for name, site in listeners.items():
            self.links[site] = LinkProxy(broker.listener_port(name), port=ports[name])
            await self.links[site].start()

    async def come_up(self, tell: Tell) -> None:
        """Members, plans, services. Raises FederationError with the last words of what failed."""
        tell("starting Kafka")
        await self._until(lambda: self._broker is not None and self._broker.is_ready(), "Kafka", "broker")
        tell("publishing members")
        settings = self.stage.reach(self.bootstrap, "wardround-demo")
        async with Registrar(settings, self.stage.registrar) as registrar:
            await registrar.publish_members(self._members())
            await registrar.publish_roster()
            self.processes.start(
                COORDINATOR, COORDINATOR, "--config", str(coordinator_settings(self.stage, self.bootstrap))
            )
            tell("making the plan and version 0")
            await self._until(self._plans_are_made, "the plan", "central")
            tell(STARTING)
            await self._start_sites([site for site in self.sites if site != self.cast.late], tell)
            for plan in self.plans:  # last: with many sites the first to learn would leave the others no time to start
                await registrar.create_study(plan, self.plans_folder / f"{plan.study}.initial")

    async def play(self, act: Act) -> None:
        """Do one act of the script."""
        if act.kind == "join":
            self._start_site(act.site)
        elif act.kind == "cut":
            await self.links[act.site].cut()
        else:
            await self.links[act.site].restore()

    async def close(self) -> None:
        """Close the links; processes are ended by their keeper."""
        for link in self.links.values():
            await link.close()

    async def pooled(self, study: str) -> Path | None:
        """Wait for the file with the pooled scores; None when their process ended without it."""
        path = self.plans_folder / f"{study}.pooled.json"
        with contextlib.suppress(LocalError):
            await self._until(path.exists, "the pooled model", "central")
        return path if path.exists() else None

    def start_export(self, study: str, path: Path) -> None:
        """Have the best version that is kept written to `path`; `exported` waits for it."""
        path.unlink(missing_ok=True)
        keys = self.stage.keys
        line = ["export", study, "--best", "--out", str(path), "--broker", self.bootstrap]
        line += ["--tls", str(tls_folder(keys / f"{COORDINATOR}.sign"))]
        line += ["--member", COORDINATOR, "--open", str(keys / f"{COORDINATOR}.open")]  # sites judge for it alone
        line += ["--registrar", str(keys / "registrar.pub")]
        line += ["--study-folder", str(self._rehearsal.task_folder)] if self._rehearsal.task_folder else []
        self.processes.start(f"model-{study}", "model", *line, service=False)

    async def exported(self, study: str, path: Path) -> Path | None:
        """The model's file; None when its process ended without it."""
        with contextlib.suppress(LocalError):
            await self._until(path.exists, "the model", f"model-{study}")
        return path if path.exists() else None

    def _start_central(self) -> None:
        line = [word for path in self._rehearsal.plans for word in ("--plan", str(path.resolve()))]
        line += ["--key", str(self.stage.keys / "registrar.sign"), "--out", str(self.plans_folder)]
        line += ["--data", str(self._rehearsal.data.resolve())] if self._rehearsal.data else []
        line += ["--look-in", str(self._place)] if self._place else []
        line += self._rehearsal.bounds.words()
        line += ["--test"] if self._rehearsal.tested else []
        self.processes.start("central", *line, service=False, module="wardround.demo.central")

    def _start_site(self, site: str) -> None:
        link = self.links.get(site)
        bootstrap = f"127.0.0.1:{link.port}" if link else self.bootstrap
        path = participant_settings(
            self.stage,
            site,
            bootstrap,
            self.plans,
            self._rehearsal.data,
            period_s=self.period_s,
            task_folder=self._rehearsal.task_folder,
        )
        self.processes.start(site, "participant", "run", "--config", str(path))

    async def _start_sites(self, sites: Sequence[str], tell: Tell) -> None:
        """So many at once that none waits for the processor until a limit of its own ends it."""
        for number, site in enumerate(sites):
            while number - self._there(sites[:number]) >= STARTING_MAX:
                there = self._there(sites[:number]) // TOLD_EACH * TOLD_EACH
                tell(f"starting the sites: {there} of {len(sites)} are there" if there else STARTING)
                self.processes.gone()
                await asyncio.sleep(10 * _LOOK_S)
            self._start_site(site)
        while len(sites) > STARTING_MAX and self._there(sites) < len(sites):
            self.processes.gone()
            await asyncio.sleep(10 * _LOOK_S)

    def _there(self, sites: Sequence[str]) -> int:
        return sum((self.stage.data_folder(site) / STATE).exists() for site in sites)

    def _members(self) -> list[NewMember]:
        cards = self.stage.cards
        sites = [NewMember(cards[site], (Role.SITE,), institution=site) for site in self.sites]
        return [NewMember(cards[COORDINATOR], (Role.COORDINATOR,)), *sites]

    def _plans_are_made(self) -> bool:
        paths = [self.plans_folder / f"{study}.plan" for study in self.titles]
        if not all(path.exists() for path in paths):
            return False
        self.plans = [read_signed_plan(path, self.stage.registrar.public) for path in paths]
        return True

    async def _until(self, done: Callable[[], bool], what: str, name: str) -> None:
        """Wait for something a process makes; a process that ends without it tells why."""
        process, until_s = self.processes.all[name], time.monotonic() + SETUP_S
        while not done():
            if (not process.is_running() and not done()) or time.monotonic() > until_s:
                raise LocalError(f"{what} could not be made:\n{process.last_lines()}", hint=f"see {process.log}")
            await asyncio.sleep(_LOOK_S)


def _heap_mb(sites: int) -> int | None:
    """The broker's own default serves the demos; with many sites it would spend its time collecting garbage."""
    return None if sites <= SITES_FEW else 256 + 6 * sites
