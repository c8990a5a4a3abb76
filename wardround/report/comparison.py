"""Alone, federated, pooled: the same metric of three models on the same test patients, per site and overall.

Knows:    which version counts as the federated one, and how sites weigh in the overall figure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from audit.history import SiteHistory, StudyHistory

COLUMNS = ("alone", "federated", "pooled")


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
    """Rows by site and the overall one; `version` is the newest that some site has evaluated.

    left_out   sites that the overall row is without, each with the reason: it has the same sites in every column
    sealed     whether measurements of single sites are sealed to others than who looks
    """

    metric: str
    higher_is_better: bool
    version: int
    rows: tuple[Row, ...]
    overall: Row
    left_out: tuple[tuple[str, str], ...] = ()
    sealed: bool = False

    @property
    def has_alone(self) -> bool:
        """Whether some site has told how it does without the others; sites do so late in a study."""
        return any(row.alone is not None for row in self.rows)

    @property
    def has_intervals(self) -> bool:
        scores = (score for row in self.rows for score in (row.alone, row.federated, row.pooled))
        return any(score is not None and score.low is not None and score.high is not None for score in scores)

    @property
    def lacks_intervals(self) -> bool:
        """Whether some have an interval, and some have not."""
        scores = [score for row in self.rows for score in (row.alone, row.federated, row.pooled) if score is not None]
        return self.has_intervals and any(score.low is None for score in scores)


def compare(history: StudyHistory, pooled: Mapping[str, Score] | None = None) -> Comparison:
    """Judge the newest evaluated version. `pooled` by site, where somebody could compute it: the demo alone can."""
    name = history.plan.evaluation.metric
    version = max((max(site.evaluations, default=-1) for site in history.sites.values()), default=-1)
    rows = tuple(_row(site, name, (pooled or {}).get(site.name)) for _, site in sorted(history.sites.items()))
    shown = _columns(rows)
    common = [row for row in rows if not _lacking(row, shown)]
    overall = Row(
        "overall",
        sum(row.tested or 0 for row in common) or None,
        *(_mean(history, common, column) if column in shown else None for column in COLUMNS),
    )
    left_out = tuple((row.name, _why(history.sites[row.name], row, shown)) for row in rows if _lacking(row, shown))
    higher = history.plan.evaluation.higher_is_better
    return Comparison(name, higher, version, rows, overall, left_out, history.sealed)


def _columns(rows: Sequence[Row]) -> tuple[str, ...]:
    """The models that are compared overall: all that some site has; while no site has them all, the federated one."""
    shown = tuple(column for column in COLUMNS if any(getattr(row, column) is not None for row in rows))
    together = any(not _lacking(row, shown) for row in rows)
    return shown if together else tuple(column for column in shown if column == "federated")


def _lacking(row: Row, shown: Sequence[str]) -> list[str]:
    return [column for column in shown if getattr(row, column) is None]


def _why(site: SiteHistory, row: Row, shown: Sequence[str]) -> str:
    """Why a site has no say in the overall row, as far as the log tells."""
    if row.federated is not None:
        return f"nothing of the model {' and '.join(_lacking(row, shown))} yet"
    if not site.evaluations:
        return "nothing measured yet"
    return "it keeps what it measures: too few test patients, or its policy"


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
    if (version := site.judged(name)) is None:
        return None
    values = site.evaluations[version]
    return Score(values[name], values.get(f"{name}-low"), values.get(f"{name}-high"))


def _mean(history: StudyHistory, rows: Sequence[Row], column: str) -> Score | None:
    value = history.mean({row.name: getattr(row, column).value for row in rows})
    return None if value is None else Score(value)
