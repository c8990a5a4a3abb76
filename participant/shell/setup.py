"""Gets the task and the data of one study loaded, however often that has to be tried.

Knows:    the settings of the study, and whether what is wrong may come right by itself.
Never:    keeps finished work from going out: the study is followed meanwhile, held for its setup.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from learning.places import place_of
from participant.core.approvals import Approvals
from participant.core.loading import Loading
from participant.core.pauses import TRIES_MAX
from participant.settings import Study
from participant.shell.services import Services, now_ms
from participant.training.answers import Loaded
from participant.training.client import Load
from participant.training.errors import LoadError, TrainerRefusedError
from participant.training.launch import TrainerLostError
from schemas.errors import LocalError
from schemas.plan import ABSENCE, Plan

LOADING_FAILS = f"task and data could not be loaded {TRIES_MAX} times in a row; it is tried again with growing pauses"
ONE_SIDED_MIN = 3  # records set aside: of fewer no label can be said to lose more
RESTART = "then start the participant again"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ready:
    """What updates are made with: task and data as `loaded`, and `floor`, the least cohort signed into a header."""

    loaded: Loaded
    floor: int


class Setup:
    """One study's way from the settings to a trainer that has loaded it."""

    def __init__(
        self,
        services: Services,
        plan: Plan,
        study: Study,
        approvals: Approvals,
        *,
        only: bool,
        jitter: Callable[[], float],
    ) -> None:
        """`only`: there is no other study here that the service would go on for; `jitter` gives numbers in [0, 1)."""
        self._services, self._plan, self._study, self._approvals = services, plan, study, approvals
        self._loading = Loading(only=only, jitter=jitter)
        self._wished = asyncio.Event()

    def wished(self, *, rests: bool) -> None:
        """The operator said something. `rests`: nothing may begin; otherwise a failed try is made again at once."""
        self._loading.wished(rests=rests)
        self._wished.set()

    async def ready(self, held: Callable[[LoadError], None]) -> Ready:
        """Load, again and again until it comes off; `held` is told each time why it did not.

        Raises LoadError when the service has to end with it.
        """
        while True:
            await self._pause()
            try:
                found = await self._load()
            except LoadError as error:
                self.failed(error)
                held(error)
            else:
                self._loading.loaded()
                self._tell_set_aside(found.loaded)
                return found

    def failed(self, error: LoadError) -> None:
        """Say and count that task or data could not be loaded. Raises `error` when the service has to end with it."""
        services, study, took_ms = self._services, self._plan.study, round(1000 * error.took_s)
        undecided = bool(services.store.rows(study))
        if self._loading.failed(now_ms(), mends=error.mends, undecided=undecided, took_ms=took_ms):
            raise error
        wait_ms = self._loading.wait_ms(now_ms())
        services.metrics.trainings_failed.labels(study, error.reason).inc()
        log.error(
            "study held, task and data are not loaded",
            study=study,
            kind=error.reason,
            reason=str(error),
            hint=error.hint,
            again_s=None if wait_ms is None else round(wait_ms / 1000, 1),
        )
        if self._loading.failures == TRIES_MAX:
            services.metrics.alarms.labels(study).inc()
            log.error("alarm", study=study, reason=LOADING_FAILS)

    async def _pause(self) -> None:
        while (wait_ms := self._loading.wait_ms(now_ms())) != 0:
            self._wished.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if wait_ms is None else wait_ms / 1000):
                    await self._wished.wait()

    async def _load(self) -> Ready:
        """One try. Raises LoadError."""
        plan, study, services = self._plan, self._study, self._services
        try:
            floor = self._approvals.floor(plan)
            self._check_room()
            loaded = await services.trainer.load(load_of(plan, study, services.name))
            check_fits(plan, loaded)
        except TrainerLostError as error:
            hint = "is there enough memory? does the task run by itself?"
            what = f"study {plan.study}: {error}, while it loaded task and data"
            raise LoadError(what, hint=hint, mends=True, reason=error.reason, took_s=error.took_s) from None
        except TrainerRefusedError as error:
            what = f"study {plan.study}: the task cannot load this site's data: {error}"
            raise LoadError(what, mends=True, reason=error.reason, took_s=error.took_s) from None
        except LoadError:
            raise
        except LocalError as error:
            raise LoadError(str(error), hint=f"{error.hint}; {RESTART}" if error.hint else RESTART) from None
        return Ready(loaded, floor)

    def _check_room(self) -> None:
        plan, most = self._plan, self._services.space.bytes_max
        if plan.body_bytes > most:
            raise LocalError(
                f"study {plan.study}: one update has {plan.body_bytes} bytes, outbox_bytes_max is {most}",
                hint="raise outbox_bytes_max in the settings, where the disk has the room",
            )

    def _tell_set_aside(self, loaded: Loaded) -> None:
        """What the data contract kept out, by column and rule; it is said here and nowhere else."""
        metrics, study = self._services.metrics, self._plan.study
        metrics.records.labels(study).set(loaded.records)
        metrics.records_bad.labels(study).set(loaded.bad_records)
        for where, column, rule, count in loaded.set_aside:
            metrics.records_set_aside.labels(study, column, rule).set(count)
            log.warning("records set aside", study=study, file=where, column=column, rule=rule, records=count)
        for where, column, label, records, lost in loaded.labels:
            log.warning(
                "records set aside by label",
                study=study, file=where, column=column, label=label, set_aside=lost, of=records,
            )  # fmt: skip
        if one_sided(loaded):
            log.warning("bad records are mostly of one label: training would learn another question", study=study)
        if loaded.bad_records:
            log.warning("training goes on without bad records", study=study, bad=loaded.bad_records, of=loaded.records)


def one_sided(loaded: Loaded) -> bool:
    """Whether one label loses more than twice the share of its records that the other labels of its column lose."""
    for where, column in {line[:2] for line in loaded.labels}:
        counts = [line[3:] for line in loaded.labels if line[:2] == (where, column)]
        records, lost = (sum(numbers) for numbers in zip(*counts, strict=True))
        if lost >= ONE_SIDED_MIN and any(gone * (records - of) > 2 * (lost - gone) * of for of, gone in counts):
            return True
    return False


def load_of(plan: Plan, study: Study, site: str) -> Load:
    """What the trainer of `site` is asked to load. Raises LocalError for options or a folder that cannot be."""
    entry = study.task or plan.task.entry
    return Load(
        study=plan.study,
        entry=entry,
        code=plan.task.code,
        site=site,
        folder=study.data,
        options=options_of(plan, study),
        bad_records_max=plan.data.bad_records_max,
        place=place_of(study.task_folder, entry) if study.task_folder else None,
    )


def options_of(plan: Plan, study: Study) -> dict[str, str]:
    """The plan's options and the site's own. Raises LocalError: a site cannot change what the plan says."""
    fixed = dict(plan.task.options)
    clash = sorted(fixed.keys() & study.options.keys())
    if clash:
        raise LocalError(
            f"study {plan.study}: options {', '.join(clash)} stand in the plan and cannot be set here",
            hint="take them out of [studies.options]",
        )
    return fixed | study.options


def check_fits(plan: Plan, loaded: Loaded) -> None:
    """Raises LocalError when plan and task do not belong together, or the plan asks for what no task here computes.

    Raises LoadError that may mend when the data are fewer than the plan needs.
    """
    if (loaded.parameters, loaded.metric) != (plan.parameters, plan.evaluation.metric):
        raise LocalError(
            f"study {plan.study}: the task has {loaded.parameters} parameters and metric {loaded.metric}, "
            f"the plan {plan.parameters} and {plan.evaluation.metric}",
            hint="are the task's options those of the plan?",
        )
    unknown = [name for name, _, _ in plan.encoding.auxiliary if name not in (plan.aggregation.examples, ABSENCE)]
    if unknown:
        raise LocalError(f"study {plan.study}: auxiliary coordinates {', '.join(unknown)} are not built yet")
    if plan.aggregation.examples is not None and loaded.examples < 1:
        raise LoadError(
            f"study {plan.study} weighs by examples, and this site has no training patients",
            hint="are the data in their folder?",
            mends=True,
        )
