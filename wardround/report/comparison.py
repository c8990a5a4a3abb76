"""Alone, federated, pooled: the same metric of three models on the same test patients, per site and overall.

Knows:    which version counts as the federated one, and how sites weigh in the overall figure.
Used by:  wardround.report, wardround.demo (table and summary).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from wardround.history import SiteHistory, StudyHistory


@dataclass(frozen=True, slots=True)
class Score:
    """A metric with its bootstrap interval over test patients, where there is one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One site (or all of them): None where a model was not judged there."""

    name: str
    tested: int | None  # test patients
    alone: Score | None
    federated: Score | None
    pooled: Score | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows by site and the overall one; `version` is the newest that some site has evaluated."""

    metric: str
    higher_is_better: bool
    version: int
    rows: tuple[Row, ...]
    overall: Row

    @property
    def has_alone(self) -> bool:
        """Whether some site has told how it does without the others; sites do so late in a study."""
        return any(row.alone is not None for row in self.rows)

    @property
    def has_intervals(self) -> bool:
        scores = (score for row in self.rows for score in (row.alone, row.federated, row.pooled))
        return any(score is not None and score.low is not None and score.high is not None for score in scores)


def compare(history: StudyHistory, pooled: Mapping[str, Score] | None = None) -> Comparison:
    """Judge the newest evaluated version. `pooled` by site, where somebody could compute it: the demo alone can."""
    name = history.plan.evaluation.metric
    version = max((max(site.evaluations, default=-1) for site in history.sites.values()), default=-1)
    rows = tuple(_row(site, name, (pooled or {}).get(site.name)) for _, site in sorted(history.sites.items()))
    overall = Row(
        "overall",
        sum(row.tested or 0 for row in rows) or None,
        _mean(history, {row.name: row.alone for row in rows}),
        _mean(history, {row.name: row.federated for row in rows}),
        _mean(history, {row.name: row.pooled for row in rows}),
    )
    return Comparison(name, history.plan.evaluation.higher_is_better, version, rows, overall)


def _row(site: SiteHistory, name: str, pooled: Score | None) -> Row:
    tested = site.newest("n-test")
    return Row(
        site.name,
        None if tested is None else round(tested),
        _score(site, f"alone-{name}"),
        _score(site, name),
        pooled,
    )


def _score(site: SiteHistory, name: str) -> Score | None:
    """From the newest evaluation that has it; an interval of another version is no interval of this one."""
    for version in sorted(site.evaluations, reverse=True):
        values = site.evaluations[version]
        if name in values:
            return Score(values[name], values.get(f"{name}-low"), values.get(f"{name}-high"))
    return None


def _mean(history: StudyHistory, scores: Mapping[str, Score | None]) -> Score | None:
    value = history.mean({site: score.value for site, score in scores.items() if score is not None})
    return None if value is None else Score(value)
