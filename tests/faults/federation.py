"""The federation under test: broker, coordinators and participants as processes, each behind a link of its own.

Knows:    which process plays which role, how each is started again, and which ended without having been killed.
Never:    decides what goes wrong; touches a process that is not of this run.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from ops.kafka import Broker
from ops.kafka.ports import HOST, free_ports
from ops.link_proxy import LinkProxy
from registry.members import NewMember
from registry.registrar import Registrar
from schemas.errors import EXIT_LOCAL, LocalError
from schemas.plan import Plan
from schemas.records import Role as MemberRole
from tests.broker import asking_apart
from tests.broker.access import authority, reach, start_broker
from tests.faults.schedule import Role
from tests.faults.stage import Place, Round, author, coordinator_file, participant_file
from wardround.demo import guard
from wardround.demo.processes import Process, Processes
from wardround.demo.stage import COORDINATOR, Stage, make_keys

STOP_S = 10.0  # a service ends within this after SIGTERM
_LOOK_S = 0.25
_AGAIN_S = 0.5


@dataclass(slots=True)
class Service:
    """One service: its newest process, its link, and whether something is being done to it."""

    role: Role
    place: Place
    settings: Path
    argv: list[str]
    link: LinkProxy
    process: Process
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    down: bool = False  # on purpose

    @property
    def name(self) -> str:
        return self.place.name


@dataclass(frozen=True, slots=True)
class Ended:
    """A service that ended by itself: allowed to a coordinator that another one has fenced, to nobody else."""

    name: str
    role: Role
    code: int
    last_lines: str

    @property
    def allowed(self) -> bool:
        return self.role is Role.COORDINATOR and self.code != EXIT_LOCAL


class Federation:
    """All processes of one run. `out` is where their logs stay."""

    def __init__(self, round_: Round, out: Path, processes: Processes, broker: Broker, stage: Stage, plan: Plan):
        self.round, self.out, self.processes, self.broker, self.stage, self.plan = (
            round_, out, processes, broker, stage, plan,
        )  # fmt: skip
        self.kafka = reach(broker.bootstrap, "faults", fetch_wait_ms=50)
        self.services: list[Service] = []
        self.ended: list[Ended] = []
        self.broker_busy = asyncio.Lock()

    def of(self, role: Role) -> list[Service]:
        return [service for service in self.services if service.role is role]

    @property
    def asking_apart(self) -> list[Service]:
        """The coordinators that commit each Request before its end."""
        return [service for service in self.of(Role.COORDINATOR) if asking_apart.__name__ in service.argv]

    def start(self, service: Service) -> None:
        """Give a service that has ended its next life."""
        service.process = self.processes.launch(service.name, service.argv)
        service.down = False

    async def kill(self, service: Service) -> None:
        """SIGKILL, and wait for the end."""
        service.down = True
        service.process.signal(signal.SIGKILL)
        await _end(service.process, STOP_S)

    async def ended_within(self, service: Service, seconds: float) -> bool:
        """Whether it ends by itself that soon."""
        return await _end(service.process, seconds) is not None

    async def stop(self, service: Service) -> int | None:
        """SIGTERM; the exit code, None when it did not end in time and was killed."""
        service.down = True
        service.process.signal(signal.SIGTERM)
        code = await _end(service.process, STOP_S + 2)
        if code is None:
            await self.kill(service)
        return code

    def gone(self) -> list[str]:
        """Services that do not run now."""
        return [one.name for one in self.services if one.process.child is None or one.process.child.poll() is not None]

    async def watch(self) -> None:
        """Start again whatever ends by itself, and remember that it did. Until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for service in self.services:
                child = service.process.child
                if service.down or service.busy.locked() or child is None or child.poll() is None:
                    continue
                self.ended.append(
                    Ended(service.name, service.role, child.returncode, service.process.last_lines(count=12))
                )
                await asyncio.sleep(_AGAIN_S)
                self.start(service)

    def trainers(self) -> list[int]:
        """Processes that hold patients: those with a participant as parent, and those with the fork server."""
        parents = {service.process.pid for service in self.of(Role.PARTICIPANT)}
        own = [
            pid for pid in guard.everybody() if _parent(pid) in parents and _runs(pid, "participant.training.worker")
        ]
        servers = set(self._fork_processes())
        return own + [pid for pid in servers if _parent(pid) in servers]

    def fork_servers(self) -> list[int]:
        servers = set(self._fork_processes())
        return [pid for pid in servers if _parent(pid) not in servers]

    def _fork_processes(self) -> list[int]:
        return [pid for pid in guard.owned(self.stage.folder) if _runs(pid, "participant.training.fork_server")]


@contextlib.asynccontextmanager
async def federation(round_: Round, out: Path) -> AsyncIterator[Federation]:
    """Everything up and the study published; all of it is gone at the end."""
    out.mkdir(parents=True, exist_ok=True)
    processes = Processes(out)
    links: list[LinkProxy] = []
    try:
        authored = await asyncio.to_thread(author, round_, processes.folder)
        stage = await asyncio.to_thread(make_keys, processes.folder, round_.names, authority())
        coordinators = [f"{COORDINATOR}-{number}" for number in range(round_.coordinators)]
        names = [*coordinators, *round_.names]
        links, broker = await _linked_broker(processes.folder, names, round_.seed)
        one = Federation(round_, out, processes, broker, stage, authored.plan)
        async with Registrar(one.kafka, stage.registrar) as registrar:
            await registrar.publish_members(
                NewMember(card, _roles(name), size_cap_bytes=round_.bodies_bytes) for name, card in stage.cards.items()
            )
            await registrar.publish_roster()
            await registrar.create_study(authored.plan, authored.initial.tobytes())
        for name, link, port in zip(names, links, free_ports(len(names)), strict=True):
            _add(one, name, link, port)
        try:
            yield one
        finally:
            await asyncio.to_thread(processes.stop)
    finally:
        processes.close()
        await asyncio.gather(*(link.close() for link in links))


def _roles(name: str) -> tuple[MemberRole, ...]:
    return (MemberRole.COORDINATOR if name == COORDINATOR else MemberRole.SITE,)


async def _linked_broker(folder: Path, names: list[str], seed: int) -> tuple[list[LinkProxy], Broker]:
    """A broker that sends each service's clients to that service's link."""
    ports = dict(zip((f"LINK{number}" for number in range(len(names))), free_ports(len(names)), strict=True))
    broker = await asyncio.to_thread(start_broker, folder / "broker", extra_listeners=ports)
    links = [
        LinkProxy(broker.listener_port(listener), port=port, seed=seed + number)
        for number, (listener, port) in enumerate(ports.items())
    ]
    for link in links:
        await link.start()
    return links, broker


def _add(one: Federation, name: str, link: LinkProxy, metrics_port: int) -> None:
    place = Place(name, f"{HOST}:{link.port}", metrics_port)
    if name.startswith(COORDINATOR):
        last = len(one.services) == one.round.coordinators - 1
        module = asking_apart.__name__ if last else "wardround"  # so that each kind takes over from the other
        role, command, path = Role.COORDINATOR, "coordinator", coordinator_file(one.stage, place)
    else:
        forked = one.round.names.index(name) % 2 == 1
        module, role, command = "wardround", Role.PARTICIPANT, "participant run"
        path = participant_file(one.stage, place, one.plan, forked=forked)
    argv = [sys.executable, "-m", module, *command.split(), "--config", str(path)]
    one.services.append(Service(role, place, path, argv, link, one.processes.launch(name, argv)))


async def _end(process: Process, seconds: float) -> int | None:
    """The exit code, None when it does not end in time."""
    until_s = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until_s:
        if process.child is None:
            raise LocalError(f"{process.name} was started again by somebody else")
        if (code := process.child.poll()) is not None:
            return code
        await asyncio.sleep(0.02)
    return None


def _runs(pid: int, module: str) -> bool:
    return module in guard.arguments(pid)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
