"""A study's model leaves the federation as a file: which version, its state by name, and the header it goes under.

Knows:    the best version that is still kept; that the task on this machine must be the one the plan approved.
Never:    fetches or opens a version itself (audit.federation does).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audit.history import StudyHistory
from learning.entry import load_task
from learning.model_file import ModelHeader, check_state, read_model, write_model
from learning.places import look_in, place_of
from learning.predicting import Model
from learning.task import Task
from schemas.errors import LocalError


@dataclass(frozen=True, slots=True)
class Judged:
    """How sites judged one version: the weighted mean of the plan's metric, and how many sites it is over."""

    version: int
    value: float
    sites: int


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written; `remarks` are for the person who asked."""

    path: Path
    header: ModelHeader
    remarks: tuple[str, ...]


def judged(history: StudyHistory) -> dict[int, Judged]:
    """Every announced version that at least half of the judging sites have measured, by number."""
    if history.sealed:
        return _announced(history)
    name = history.plan.evaluation.metric
    known = {site.name: site for site in history.sites.values() if site.newest(name) is not None}
    found = {}
    for version in history.versions:
        values = {site.name: value for site in known.values() if (value := site.metric(version, name)) is not None}
        mean = history.mean(values)
        if mean is not None and 2 * len(values) >= len(known):
            found[version] = Judged(version, mean, len(values))
    return found


def _announced(history: StudyHistory) -> dict[int, Judged]:
    """The same from what was announced to everybody, to whom the measurements of single sites are sealed."""
    most = max((one.sites for one in history.summaries.values()), default=0)
    return {
        version: Judged(version, one.value, one.sites)
        for version, one in history.summaries.items()
        if version in history.versions and 2 * one.sites >= most
    }


def kept(history: StudyHistory) -> range:
    """The versions whose bodies the broker still has."""
    return range(max(0, history.version - history.plan.storage.versions_kept + 1), history.version + 1)


def best_version(history: StudyHistory) -> tuple[Judged, Judged]:
    """(the best version that is still kept, the best of all); of equals the newer one.

    Raises LocalError where no kept version was measured by enough sites.
    """
    versions, sign = judged(history), 1 if history.plan.evaluation.higher_is_better else -1
    within = [one for one in versions.values() if one.version in kept(history)]
    if not within:
        raise LocalError(
            f"no version of {history.study} that is still kept was measured by half of its sites",
            hint="name a version with --version N, or leave it out for the newest",
        )

    def rank(one: Judged) -> tuple[float, int]:
        return sign * one.value, one.version

    return max(within, key=rank), max(versions.values(), key=rank)


def header_of(history: StudyHistory, version: int) -> ModelHeader:
    """What the file of `version` says of itself. Raises LocalError when there is no such version."""
    if not history.versions:
        raise LocalError(
            f"study {history.study} has no version yet", hint="the coordinator publishes version 0 when it runs"
        )
    if version not in history.versions:
        raise LocalError(
            f"study {history.study} has no version {version}", hint=f"the newest is {history.version}, the first is 0"
        )
    plan, seen = history.plan, judged(history).get(version)
    return ModelHeader(
        study=plan.study,
        title=plan.title,
        plan=history.plan_digest.hex(),
        version=version,
        model=history.versions[version].model.hex(),
        parameters=plan.parameters,
        task=plan.task.entry,
        code=plan.task.code.hex(),
        metric=plan.evaluation.metric,
        higher_is_better=plan.evaluation.higher_is_better,
        value=seen.value if seen else None,
        judged_by=seen.sites if seen else 0,
        sites=tuple(
            sorted({one.site for made in history.versions.values() if made.number <= version for one in made.cohort})
        ),
    )


def choose(history: StudyHistory, version: int | None, *, best: bool) -> tuple[int, tuple[str, ...]]:
    """The version to export, and what the person who asked should know of the choice. Raises LocalError."""
    if version is not None and best:
        raise LocalError("both a version and the best one are asked for", hint="leave one of them out")
    if not best:
        return (history.version if version is None else version), ()
    found, ever = best_version(history)
    if found.version == ever.version:
        return found.version, ()
    return found.version, (
        f"version {ever.version} was better ({ever.value:.4g}), but only the newest "
        f"{history.plan.storage.versions_kept} versions are kept",
    )


def export_version(
    path: Path, vector: NDArray[np.float32], header: ModelHeader, folder: Path | None, remarks: tuple[str, ...]
) -> Exported:
    """Write `vector` by its task's names; what was written is the announced version. Raises LocalError."""
    task = approved_task(header, folder)
    state = task.state(vector)
    check_state(task.vector_of(state), header, where=f"version {header.version}")
    write_model(path, state, header)
    return Exported(path, header, remarks)


def approved_task(header: ModelHeader, folder: Path | None) -> Task:
    """The task of a model, from its folder or by its entry: exactly the files that the plan approved.

    Raises LocalError when it is not there, or another one.
    """
    if folder is not None:
        look_in(place_of(folder, header.task))
    return load_task(header.task, digest=bytes.fromhex(header.code))


def open_model(path: Path | str, *, study: Path | str | None = None) -> Model:
    """An exported model with its task, ready to predict.

    study   the folder of the study's task.py; without it the entry in the file is imported
    Raises LocalError when the file is damaged, or the task is not the one that its plan approved.
    """
    header, _ = read_model(Path(path))
    return Model.read(Path(path), approved_task(header, None if study is None else Path(study)))
