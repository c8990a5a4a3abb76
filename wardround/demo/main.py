"""A rehearsal from start to end: starts everything, lets the play happen, waits, reports, and leaves nothing behind.

Knows:    when a study is over for good, and how long to wait for whom.
Never:    restarts a service; one that is gone has 120 s to be started again by its line in processes.json.
"""

import asyncio
import contextlib
import json
import logging
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import structlog

from audit.federation import AsyncFederation
from audit.history import StudyHistory
from ops.kafka import Kafka, ensure
from protocol.files import write_whole
from runtime.lock import FolderLock
from schemas.errors import FederationError, TransientError
from wardround.demo.held import HeldSites
from wardround.demo.outcome import final_table, read_pooled, summary
from wardround.demo.processes import Process, Processes
from wardround.demo.rehearsal import MODEL, Rehearsal
from wardround.demo.running import Running
from wardround.demo.script import Act
from wardround.demo.stage import COORDINATOR
from wardround.progress import Show
from wardround.report import Score, compare, write_report
from wardround.report.look_again import look_again

INTERRUPTED = 130
BACK_S = 120.0  # how long a service may be gone
LAST_WORDS_S = 30.0  # after the end of a study, for the last evaluations and receipts
_ACT_S = 0.1
_WATCH_S = 0.5


def run(rehearsal: Rehearsal, *, out: Path) -> int:
    """Run one rehearsal to its end; returns the exit code. Raises LocalError for a wrong setup."""
    began_s = time.monotonic()
    folder = out.absolute() / rehearsal.name
    lock = FolderLock(folder, hint="it plays there already: wait for its end, or name another folder with --out")
    processes: Processes | None = None
    try:
        processes = Processes(folder)
        _log_to(folder / "logs" / "demo.log")
        demo = _Demo(rehearsal, processes, out.absolute(), began_s)
        asyncio.run(demo.run(ensure(progress=_download)))
        return 0
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted: everything is being stopped", file=sys.stderr)
        return INTERRUPTED
    finally:
        if processes is not None:
            processes.close()
        del lock


class _Demo:
    """State of one run."""

    def __init__(self, rehearsal: Rehearsal, processes: Processes, out: Path, began_s: float) -> None:
        self._rehearsal, self._name, self._out, self._began_s = rehearsal, rehearsal.name, out, began_s
        self._processes = processes
        self._running = Running(rehearsal, processes)
        self._show = Show(self._running.period_s)
        self._histories: dict[str, StudyHistory] = {}
        self._returning: dict[str, int] = {}  # site that came back -> updates counted before
        self._gone_s: dict[str, float] = {}

    async def run(self, kafka: Kafka) -> None:
        """From nothing to the report."""
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGHUP):  # a terminal that is closed, too
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        try:
            with self._show as show:
                await self._running.begin(kafka)
                await self._running.come_up(show.doing)
                show.doing("waiting for version 0")
                threading.Thread(target=_warm, daemon=True).start()
                await self._studies()
                show.freeze()
                self._export()
                show.doing("computing the pooled model")
                pooled = await self._pooled()
                show.doing("writing the report")
                await self._finish(pooled)
                await self._exported()
                show.doing("stopping everything")
                await asyncio.to_thread(self._processes.stop)
                show.doing("")
            self._print(pooled)
        finally:
            await self._running.close()
            await asyncio.to_thread(self._processes.stop)

    async def _studies(self) -> None:
        """Until every study is over and everything about it is known, or the time that a person gave it is."""
        minutes = self._rehearsal.bounds.minutes
        try:
            async with asyncio.timeout(None if minutes is None else 60 * minutes + LAST_WORDS_S):
                await self._until_over()
        except TimeoutError:
            if not self._histories:
                raise FederationError(f"nothing was learnt in {minutes:g} minutes; see the logs") from None
            self._show.note(f"{minutes:g} minutes are over; the study is reported as it stands")

    async def _until_over(self) -> None:
        followers = [asyncio.create_task(self._follow(plan.study)) for plan in self._running.plans]
        helpers = [asyncio.create_task(self._play()), asyncio.create_task(self._watch())]
        try:
            waiting = set(followers)
            while waiting:
                done, _ = await asyncio.wait({*waiting, *helpers}, return_when=asyncio.FIRST_COMPLETED)
                for one in done:
                    one.result()
                waiting -= done
        finally:
            for one in (*followers, *helpers):
                one.cancel()
            await asyncio.gather(*followers, *helpers, return_exceptions=True)

    async def _follow(self, study: str) -> None:
        """Follow one study until it is over. The broker may be away at any moment."""
        stage = self._running.stage
        federation = AsyncFederation(
            self._running.bootstrap,
            registrar_key=stage.registrar.public,
            opening_key=stage.keys / f"{COORDINATOR}.open",  # measurements are sealed to it
            tls=stage.reach(self._running.bootstrap, "demo").tls,
        )
        final_s: float | None = None
        while True:
            with contextlib.suppress(TransientError):
                async for history in federation.follow(study):
                    self._histories[study] = history
                    self._show.histories = list(self._histories.values())
                    self._show.doing("")
                    self._show.grown(history)
                    self._tell_returned(history)
                    if history.final:
                        final_s = final_s or time.monotonic()
                        if complete(history) or (time.monotonic() - final_s > LAST_WORDS_S and not self._gone_s):
                            return
            await asyncio.sleep(_WATCH_S)

    async def _play(self) -> None:
        """Cut links, restore them, let the late site in."""
        while True:
            known = list(self._histories.values())
            if len(known) == len(self._running.plans):
                version = min(history.version for history in known)
                final = all(history.final for history in known)
                for act in self._running.script.acts(version, time.monotonic(), final=final):
                    await self._running.play(act)
                    self._tell(act)
            await asyncio.sleep(_ACT_S)

    async def _watch(self) -> None:
        """Wait for services that are gone, and look at what sites say of themselves.

        Raises FederationError after 120 s, LocalError for one set up wrongly or held before it could begin.
        """
        held = HeldSites(len(self._running.sites))
        while True:
            gone = {process.name: process for process in await asyncio.to_thread(self._processes.gone)}
            for name in [name for name in self._gone_s if name not in gone]:
                self._show.note(f"{name} is back after {time.monotonic() - self._gone_s.pop(name):.0f} s")
            for name, process in gone.items():
                self._wait_for(name, process)
            for news in held.look(self._running.folders, time.monotonic()):
                self._show.note(news)
            await asyncio.sleep(_WATCH_S)

    def _wait_for(self, name: str, process: Process) -> None:
        if name not in self._gone_s:
            self._gone_s[name] = time.monotonic()
            self._show.note(f"{name} (process {process.pid}) is gone; waiting {BACK_S:.0f} s for it to come back")
        if time.monotonic() - self._gone_s[name] > BACK_S:
            raise FederationError(
                f"{name} did not come back in {BACK_S:.0f} s; its last lines:\n{process.last_lines()}"
            )

    def _tell(self, act: Act) -> None:
        if act.kind == "join":
            self._show.note(f"{act.site} joins late, from the newest version on")
        elif act.kind == "cut":
            self._show.links[act.site] = "link cut"
            self._show.note(f"{act.site} loses its link; the others go on")
        else:
            self._show.links.pop(act.site, None)
            self._returning |= {act.site: counted(self._histories.values(), act.site)}
            self._show.note(f"the link of {act.site} is back")

    def _tell_returned(self, history: StudyHistory) -> None:
        """Say with which staleness and weight the first update of a site that was away has counted."""
        for site, before in list(self._returning.items()):
            if counted(self._histories.values(), site) > before:
                newest = max((v for v in history.versions.values() if v.cohort), key=lambda v: v.number, default=None)
                for update in newest.cohort if newest else ():
                    if update.site == site:
                        del self._returning[site]
                        late = history.staleness(newest, update) if newest else None
                        delay = "" if late is None else f" {late} version{'s' * (late != 1)} late,"
                        self._show.note(f"{site} counts again:{delay} weight {update.weight}/16")

    async def _pooled(self) -> dict[str, dict[str, Score]]:
        """The pooled scores by study; empty where their process died."""
        found: dict[str, dict[str, Score]] = {}
        for plan in self._running.plans:
            path = await self._running.pooled(plan.study)
            if path is None:
                said = self._processes.all["central"].last_words()
                self._show.note(f"the pooled model could not be computed, the report goes without it: {said}")
            found[plan.study] = read_pooled(path) if path else {}
        return found

    def _export(self) -> None:
        """Begin to write each study's best version, while pooled model and report are made."""
        if self._rehearsal.model:
            for study in self._histories:
                self._running.start_export(study, self._out / study / MODEL)

    async def _exported(self) -> None:
        if not self._rehearsal.model:
            return
        self._show.doing("writing the model")
        for study in self._histories:
            if await self._running.exported(study, self._out / study / MODEL) is None:
                said = self._processes.all[f"model-{study}"].last_words()
                self._show.note(f"the model of {study} could not be written: {said}")

    async def _finish(self, pooled: dict[str, dict[str, Score]]) -> None:
        """Write report and summary of each study."""
        for study, history in self._histories.items():
            folder = self._out / study
            report = folder / "report.html"
            await asyncio.to_thread(
                write_report,
                history,
                report,
                pooled=pooled[study],
                period_s=self._running.period_s,
                note=self._rehearsal.note,
            )
            comparison = compare(history, pooled[study])
            values = summary(history, comparison, time.monotonic() - self._began_s)
            write_whole(folder / "summary.json", json.dumps(values, indent=1, ensure_ascii=False).encode())
        self._copy_first()

    def _print(self, pooled: dict[str, dict[str, Score]]) -> None:
        for study, history in self._histories.items():
            comparison = compare(history, pooled[study])
            self._show.console.print(final_table(comparison))
            for said in look_again(comparison):
                self._show.console.print(f"look again: {said}", soft_wrap=True, highlight=False)
            places = [f"report: {self._out / study / 'report.html'}"]
            places += (
                [f"model:  {path}"] if (path := self._out / study / MODEL).exists() and self._rehearsal.model else []
            )
            self._show.console.print("\n".join([_ending(history), *places]), soft_wrap=True, highlight=False)
        for lead, line in zip(("next:  ", *["       "] * 9), self._rehearsal.next, strict=False):
            self._show.console.print(f"{lead} {line}", soft_wrap=True, highlight=False)

    def _copy_first(self) -> None:
        """A demo of several studies has no report of its own: its folder shows the first one's, too."""
        first = next(iter(self._histories), self._name)
        if first != self._name:
            for name in ("report.html", "summary.json"):
                shutil.copyfile(self._out / first / name, self._out / self._name / name)


def complete(history: StudyHistory) -> bool:
    """Whether nothing more is to come: every site has judged the final version, and every offer has its answer.

    A site whose test set is too small tells of the final version without its metric.
    """
    metric, version = history.plan.evaluation.metric, history.version
    wanted = {metric, f"alone-{metric}"} if history.plan.evaluation.alone else {metric}
    judged = all(
        version in site.evaluations
        and (wanted <= site.evaluations[version].keys() or metric not in site.evaluations[version])
        for site in history.sites.values()
    )
    return history.final and judged and history.undecided == 0


def counted(histories: Iterable[StudyHistory], site: str) -> int:
    """Updates of one site counted so far."""
    return sum(
        update.site == site
        for history in histories
        for version in history.versions.values()
        for update in version.cohort
    )


def _ending(history: StudyHistory) -> str:
    refused = ", ".join(f"{n} {code}" for code, n in history.refused.items()) or "none"
    return (
        f"{history.study}: {history.version} versions, {history.offered} updates offered, "
        f"{history.counted} counted, refused: {refused}"
    )


def _log_to(path: Path) -> None:
    """The screen is for the show; what the demo's own clients have to say goes where the services' logs are."""
    file = path.open("a", buffering=1)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file))
    logging.basicConfig(stream=file, level=logging.WARNING, force=True)


def _warm() -> None:
    with contextlib.suppress(ImportError):  # the report says so, with a hint
        from wardround.report import style

        style.warm()


def _download(what: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(
            f"\r{what}: {done * 100 // max(1, total)} %", end="\n" if done == total else "", file=sys.stderr, flush=True
        )
