"""Which checks there are for whom, in which order, and what follows from one that failed.

Never:    lets an error of a check out: it becomes a finding of its own name.
"""

import asyncio
import inspect
from collections.abc import Callable, Iterable

from schemas.errors import FederationError, LocalError
from transport.dialing import loop_factory
from wardround.doctor import cluster, local, rights, study, way
from wardround.doctor.case import Case, Who
from wardround.doctor.finding import Check, Finding, Said, Skip, State, wrong

LIMIT_S = 600.0  # of any check: those that wait have closer ones of their own
AnyCheck = Check[Case]
Tell = Callable[[AnyCheck], None]
Hear = Callable[[Finding], None]


def first_checks(who: Who) -> tuple[AnyCheck, ...]:
    """What needs no network: it also says how to dial."""
    return (*local.ALL, *(local.MEMBER if who is not Who.FEDERATION else ()))


def next_checks(who: Who) -> tuple[AnyCheck, ...]:
    """Everything else."""
    if who is Who.FEDERATION:
        looked = (cluster.AUTHORIZER_SET, cluster.BROKERS)
        compared = (cluster.FEDERATION_TOPICS, cluster.FEDERATION_SETTINGS, cluster.TABLE)
        return (*way.ALL, *looked, *study.LOG, *compared)
    own = (rights.BARRED, rights.ACCESS, cluster.OWN_TOPICS, rights.AUTHORIZER)
    there = (rights.IN_STUDIES, cluster.STUDY_TOPICS)
    more = study.SITE if who is Who.SITE else (cluster.SETTINGS,)
    return (*way.ALL, *own, *study.LOG, *there, *more)


def all_checks() -> dict[str, AnyCheck]:
    """Every check by its name."""
    return {check.name: check for who in reversed(Who) for check in (*first_checks(who), *next_checks(who))}


def diagnose(case: Case, tell: Tell = lambda check: None, hear: Hear = lambda finding: None) -> list[Finding]:
    """Try everything. `tell` is called before each check, `hear` with what it found. Needs a thread without a loop."""
    round_ = Round(case, tell, hear)
    with asyncio.Runner() as runner:
        runner.run(round_.go(first_checks(case.who)))
    with asyncio.Runner(loop_factory=_loop(case)) as runner:
        runner.run(round_.to_end(next_checks(case.who)))
    return round_.findings


def _loop(case: Case) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """One that dials as the settings say; where they make no sense `proxy` will say so."""
    if case.choice is None:
        return None
    try:
        return loop_factory(case.choice, case.machine.environ)
    except LocalError as error:
        case.unproxied = f"{error}; {error.hint}" if error.hint else str(error)
        return None


class Round:
    """One case from the first check to the last."""

    def __init__(self, case: Case, tell: Tell, hear: Hear) -> None:
        self.findings: list[Finding] = []
        self._case, self._tell, self._hear = case, tell, hear
        self._stuck: set[str] = set()  # checks that failed, or wait for one that did

    async def go(self, checks: Iterable[AnyCheck]) -> None:
        for check in checks:
            self._tell(check)
            finding = check.found(await self._said(check))
            if finding.state is State.WRONG:
                self._stuck.add(check.name)
            self.findings.append(finding)
            self._hear(finding)

    async def to_end(self, checks: Iterable[AnyCheck]) -> None:
        try:
            await self.go(checks)
        finally:
            await self._case.close()

    async def _said(self, check: AnyCheck) -> Said:
        waits_for = next((name for name in check.needs if name in self._stuck), None)
        if waits_for is not None:
            self._stuck.add(check.name)
            return Said(State.SKIPPED, f"it depends on `{waits_for}`")
        try:
            async with asyncio.timeout(LIMIT_S):
                said = check.look(self._case)
                return await said if inspect.isawaitable(said) else said
        except Skip as skip:
            if skip.on:
                self._stuck.add(check.name)
            return Said(State.SKIPPED, str(skip))
        except LocalError as error:
            return wrong(str(error), do=error.hint)
        except FederationError as error:
            return wrong(str(error))
        except TimeoutError:
            return wrong(f"it did not end in {LIMIT_S:g} s")
        except Exception as error:  # whatever a check trips over is a finding, and never a traceback
            return wrong(
                f"the check itself failed: {type(error).__name__}: {error}",
                do="this is a fault of wardround: make a bundle (--bundle FILE) and send it to those who maintain it",
                ask="whoever maintains wardround",
            )
