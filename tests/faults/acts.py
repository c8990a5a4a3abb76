"""Makes a schedule come true: kills, stops and spoils, mends again, and counts what was really done.

Knows:    a process that is being dealt with is left alone until that is over; trainers come and go by themselves.
Never:    leaves anything stopped, cut or down when it is through.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from ops.link_quality import PERFECT, Quality
from tests.broker.asking_apart import death_mark
from tests.faults.federation import Federation, Service
from tests.faults.health import leads
from tests.faults.schedule import Act, Fault, Role

BROKER_S = 300.0  # two seconds on a quiet machine; this one is everything but quiet
_FIND_S = 10.0  # how long a member of a role is waited for
_ASK_S = 30.0  # how long the next Request of a coordinator that asks apart is waited for
_LOOK_S = 0.1


class Acts:
    """What was done in one run. Times are unix milliseconds, as the log has them."""

    def __init__(self, federation: Federation) -> None:
        """Each act gets a line in faults.log, beside the services' logs."""
        self._federation = federation
        self._log = (federation.out / "faults.log").open("w", buffering=1)
        self.done: Counter[tuple[Role, Act]] = Counter()
        self.missed: Counter[tuple[Role, Act]] = Counter()  # nobody of that role was there
        self.broker_back_ms: list[int] = []
        self.leader_killed_ms: list[int] = []

    async def play(self, faults: Sequence[Fault]) -> None:
        """All of it, to the end of the last one."""
        began_s = time.monotonic()
        with self._log:
            async with asyncio.TaskGroup() as tasks:
                for fault in faults:
                    await asyncio.sleep(max(0.0, began_s + fault.at_s - time.monotonic()))
                    tasks.create_task(self._act(fault), name=f"{fault.role} {fault.act}")

    async def _act(self, fault: Fault) -> None:
        match fault.role:
            case Role.BROKER:
                async with self._federation.broker_busy:
                    await (self._kill_broker(fault) if fault.act is Act.KILL else self._stop_broker(fault))
            case Role.TRAINER:
                await self._on_process(fault, self._federation.trainers)
            case Role.FORK_SERVER:
                await self._on_process(fault, self._federation.fork_servers)
            case Role.LINK:
                await self._on_link(fault, _chosen(fault, self._federation.services))
            case Role.COORDINATOR if fault.act is Act.KILL_ASKED:
                await self._on_asking(fault, _chosen(fault, self._federation.asking_apart))
            case Role.COORDINATOR | Role.PARTICIPANT:
                await self._on_service(fault)

    async def _kill_broker(self, fault: Fault) -> None:
        broker = self._federation.broker
        await asyncio.to_thread(broker.kill)
        self._count(fault, "broker")
        await asyncio.sleep(fault.lasts_s)
        await asyncio.to_thread(broker.launch)
        await asyncio.to_thread(broker.wait_ready, BROKER_S)
        self.broker_back_ms.append(_now_ms())
        self._tell("broker is back")

    async def _stop_broker(self, fault: Fault) -> None:
        pid = self._federation.broker.pid
        assert pid is not None
        await self._stop(fault, pid, "broker")

    async def _on_service(self, fault: Fault) -> None:
        members = self._federation.of(fault.role)
        service = _chosen(fault, [one for one in members if not one.busy.locked()] or members)
        async with service.busy:
            if fault.act is Act.STOP:
                await self._stop(fault, service.process.pid, service.name)
                return
            led = fault.role is Role.COORDINATOR and await leads(self._federation, service)
            if led:
                self.leader_killed_ms.append(_now_ms())
            await self._federation.kill(service)
            self._count(fault, service.name)
            await asyncio.sleep(fault.lasts_s)
            self._federation.start(service)

    async def _on_asking(self, fault: Fault, service: Service) -> None:
        """Have a coordinator killed at its next Request; nobody is hit where it leads no round for a while."""
        mark = death_mark(service.settings)
        async with service.busy:
            mark.touch()
            died = await self._federation.ended_within(service, _ASK_S)
            mark.unlink(missing_ok=True)
            if not died:
                self.missed[fault.role, fault.act] += 1
                return
            self.leader_killed_ms.append(_now_ms())
            self._count(fault, service.name)
            await asyncio.sleep(fault.lasts_s)
            self._federation.start(service)

    async def _on_process(self, fault: Fault, find: Callable[[], list[int]]) -> None:
        """Kill or stop one of the processes that services start by themselves; they start another one."""
        until_s = time.monotonic() + _FIND_S
        while not (found := await asyncio.to_thread(find)):
            if time.monotonic() > until_s:
                self.missed[fault.role, fault.act] += 1
                return
            await asyncio.sleep(_LOOK_S)
        pid = found[int(fault.whom * len(found))]
        if fault.act is Act.STOP:
            await self._stop(fault, pid, f"process {pid}")
        elif _signal(pid, signal.SIGKILL):
            self._count(fault, f"process {pid}")

    async def _stop(self, fault: Fault, pid: int, name: str) -> None:
        """SIGSTOP for a while. The handle makes sure that SIGCONT reaches the same process or nobody."""
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            signal.pidfd_send_signal(handle, signal.SIGSTOP)
            self._count(fault, name)
            await asyncio.sleep(fault.lasts_s)
        except ProcessLookupError:
            return
        finally:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGCONT)
            os.close(handle)

    async def _on_link(self, fault: Fault, service: Service) -> None:
        """One trouble at a time on a link."""
        link = service.link
        if link.is_cut or link.quality != PERFECT:
            self.missed[fault.role, fault.act] += 1
            return
        self._count(fault, service.name)
        match fault.act:
            case Act.RESET:
                await link.reset()
                return
            case Act.CUT | Act.HOLD:
                await link.cut(silent=fault.act is Act.HOLD)
            case Act.SWALLOW:
                link.swallow()
            case _:
                link.quality = bad_quality(fault)
        await asyncio.sleep(fault.lasts_s)
        link.quality = PERFECT
        await link.restore()

    def _count(self, fault: Fault, name: str) -> None:
        self.done[fault.role, fault.act] += 1
        self._tell(f"{fault.role} {fault.act}: {name}, {fault.lasts_s:.1f} s")

    def _tell(self, what: str) -> None:
        self._log.write(f"{time.strftime('%H:%M:%S', time.gmtime())} {what}\n")


def bad_quality(fault: Fault) -> Quality:
    """How bad: 20 to 500 ms late; 30 kB/s to 1 MB/s one way, 4 times that the other; a flip in 0.1 to 3 MB."""
    match fault.act:
        case Act.DELAY:
            return Quality(delay_s=0.02 * 25.0**fault.how)
        case Act.THROTTLE:
            slow = 30_000 * 33.0**fault.how
            up, down = (slow, 4 * slow) if fault.whom < 0.5 else (4 * slow, slow)
            return Quality(up_bytes_s=up, down_bytes_s=down)
        case Act.CORRUPT:
            return Quality(corrupt_bytes=round(100_000 * 30.0**fault.how))
        case _:
            raise ValueError(f"{fault.act} is no quality of a link")


def _chosen(fault: Fault, members: Sequence[Service]) -> Service:
    return members[int(fault.whom * len(members))]


def _signal(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
