"""Makes the next version of a closed round: steps in a thread, and sends what is computed while the rest still is.

Knows:    bodies are on the log before any record names them; what a failed step has sent is named by nothing.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from coordinator.core.events import Close
from coordinator.shell.growing import Growing
from coordinator.shell.intake import VerifiedOffer
from coordinator.shell.publish import Made, Publisher
from coordinator.shell.services import INLINE_BYTES_MAX, Services
from coordinator.shell.vectors import RunningSum, Stepped, Stored, take_step
from protocol.server_step import step_of
from schemas.plan import Plan


def vector_path(folder: Path, what: str, version: int) -> Path:
    """Where the model or state of a version lies in the study's folder."""
    return folder / f"{what}-{version}.f32"


@dataclass(frozen=True, slots=True)
class _Files:
    model: Growing
    state: Growing

    def grown(self, model_bytes: int, state_bytes: int) -> None:
        self.model.grown(model_bytes)
        self.state.grown(state_bytes)


class Making:
    """The server step of one study, with everything it writes but the records."""

    def __init__(self, services: Services, plan: Plan, publisher: Publisher, folder: Path) -> None:
        self._services, self._plan, self._publisher, self._folder = services, plan, publisher, folder
        self._step = step_of(plan)

    async def make(
        self, close: Close, total: RunningSum, model: Stored, state: Stored | None, offers: list[VerifiedOffer] | None
    ) -> Made:
        """The version of `close`, from the sum and the version before it; its bodies are on the log.

        offers   of the cohort, for its body; None where that is on the log already

        Raises PeerError when the sum cannot be right, LocalError when the disk is full.
        """
        size_bytes = 4 * self._plan.parameters
        files = _Files(
            Growing(vector_path(self._folder, "model", close.version), size_bytes),
            Growing(vector_path(self._folder, "state", close.version), self._step.vectors * size_bytes),
        )
        model_sent = asyncio.create_task(self._publisher.model(close.version, files.model))
        cohort_sent = asyncio.create_task(self._publisher.cohort(offers)) if offers is not None else None
        state_sent = (
            asyncio.create_task(self._publisher.state(close.version, files.state)) if self._step.vectors else None
        )
        sending = asyncio.gather(*(task for task in (model_sent, cohort_sent, state_sent) if task is not None))
        try:
            with self._services.metrics.aggregation_s.labels(self._plan.study).time():
                stepped = await self._take_step(close, total, model, state, files)
            await sending
        except BaseException:
            sending.cancel()
            raise
        return Made(
            stepped,
            model=model_sent.result().at(stepped.model),
            state=state_sent.result().at(stepped.state) if state_sent and stepped.state else None,
            cohort=cohort_sent.result() if cohort_sent is not None else None,
        )

    async def _take_step(
        self, close: Close, total: RunningSum, model: Stored, state: Stored | None, files: _Files
    ) -> Stepped:
        def work() -> Stepped:
            return take_step(
                total, self._step, n=len(close.entries), sum_w=close.sum_w, model=model.path,
                state=state.path if state else None,
                out=files.model.path, out_state=files.state.path, on_written=files.grown,
            )  # fmt: skip

        return work() if total.words.nbytes <= INLINE_BYTES_MAX else await asyncio.to_thread(work)
