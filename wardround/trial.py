"""Tries a task before hospitals are asked: on invented patients of its contract, or on its author's own.

Knows:    what a site will do with the task, and every way that is known for it to fail there.
Never:    shows the text of an error that patients of the author's may be in; talks to a broker.
Used by:  wardround.commands.task, wardround.commands.plan, tests.
"""

import resource
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from learning.blame import in_short, in_words, place_of_error, place_of_method
from learning.contract import DataContract
from learning.entry import folder_digest, load_task, task_folder
from learning.invented import InventedSource, invented_table
from learning.quarantine import Quarantine
from learning.task import DataSource, Patients, SiteData, Task, TrainingSettings, Vector
from schemas.codec import ID
from schemas.errors import FederationError, LocalError
from wardround.authoring import read_plan_draft
from wardround.findings import Finding, Level

T = TypeVar("T")
TABLES_MAX = 8  # files that one load may ask for by name
SEED = 1
SITES_INVENTED = ("site-1", "site-2")
ALONE_PATIENTS_MAX = 200
NEAR = 1e-4
INVENTED = "try it on data of your own with --data"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a trial is made with. `data` None: patients are invented, in `scratch`."""

    entry: str
    sites: Sequence[str]
    scratch: Path
    data: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    seed: int = SEED
    bad_records_max: float = 0.0


def setting_of_plan(plan: Path, scratch: Path, *, data: Path | None = None, sites: Sequence[str] = ()) -> Setting:
    """What a plan.toml says; of its sites two are invented. Raises LocalError when it cannot be read."""
    draft = read_plan_draft(plan)
    given = {name: value for name, value in draft.values["training"].items() if value is not None}
    given = {"epochs": 0 if given.get("steps") else 1, **given}
    names = {one.name for one in fields(TrainingSettings)}
    training = TrainingSettings(**{name: value for name, value in given.items() if name in names})
    chosen = sites or (draft.sites if data is not None else draft.sites[: len(SITES_INVENTED)])
    share = draft.values["data"]["bad_records_max"]
    return Setting(draft.entry, chosen, scratch, data, draft.options, training, draft.seed, share)


class Trial:
    """One trial; `run` fills `findings`. What cannot be tried because of a fault before it is left out."""

    def __init__(self, setting: Setting) -> None:
        self.findings: list[Finding] = []
        self.round_s = 0.0
        self._setting, self._folder = setting, task_folder(setting.entry)
        self._private = False  # whether an error's text may hold a patient of the author's

    @property
    def memory_mb(self) -> float:
        """The most memory that this process ever had, in MB."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def run(self) -> list[Finding]:
        task = self._try("import", lambda: load_task(self._setting.entry))
        if task is None:
            return self.findings
        digest = self._try("digest", lambda: folder_digest(self._folder))
        if digest is not None:
            self._say("ok", "digest", f"{digest.hex()[:16]}… of {self._folder}")
        self._names(task)
        if (initial := self._model(task)) is None:
            return self.findings
        sites = [data for site in self._setting.sites if (data := self._load(task, site)) is not None]
        self._private = self._setting.data is not None
        for at, data in enumerate(sites):
            self._train(task, initial, data, again=at == 0)
            self._judge(task, initial, data)
        if sites and not any(one.level == "fault" for one in self.findings):
            self._odd_sites(task, initial, sites[0])
        self._inputs(task, initial)
        return self.findings

    def _names(self, task: Task) -> None:
        for name in ("metric", "weight"):
            value = getattr(task, name, None)
            if not _is_id(value):
                todo = "write it in small letters, digits and -, at most 40: auc, c-index"
                self._say("fault", name, f"{value!r} is no id", todo)
        if not isinstance(getattr(task, "higher_is_better", None), bool):
            self._say("fault", "metric", "higher_is_better is not set", "higher_is_better = True, or False for a loss")
        if not isinstance(getattr(task, "contract", None), DataContract):
            self._say("fault", "contract", "the task has no data contract", "contract = DataContract((Column(…), …))")
        elif not any(column.label for column in task.contract.columns):
            todo = (
                "Column(…, label=True): sites are then told whose records are set aside, and patients can be predicted"
            )
            self._say("warning", "contract", "no column is marked as the label", todo)

    def _model(self, task: Task) -> Vector | None:
        """Version 0, if it can be made."""

        def make() -> tuple[int, Any, Any]:
            return task.parameters(), task.initial(self._setting.seed), task.initial(self._setting.seed)

        if (made := self._try("model", make)) is None:
            return None
        parameters, initial, again = made
        where = self._written(task, "model") or self._written(task, "initial")
        if not isinstance(initial, np.ndarray) or initial.shape != (parameters,) or initial.dtype != np.float32:
            kind = f"{getattr(initial, 'dtype', type(initial).__name__)} {getattr(initial, 'shape', '')}"
            self._say("fault", "model", f"version 0 is {kind}, expected float32 ({parameters},){where}")
            return None
        if not np.isfinite(initial).all():
            count = np.count_nonzero(~np.isfinite(initial))
            said = f"{count} of {parameters} start values are not finite{where}"
            self._say("fault", "model", said, "look at how the model is initialised")
            return None
        if not np.array_equal(initial, again):
            todo = "draw start values from torch's generator, or one seeded by `seed`"
            self._say("fault", "model", f"the same seed gives two versions 0{where}", todo)
        self._say("ok", "model", f"{parameters:,} parameters, float32, finite")
        return initial

    def _load(self, task: Task, site: str) -> SiteData | None:
        """A site's patients, twice: invented ones, or the author's."""
        self._private = self._setting.data is not None
        what = f"load {site}"
        try:
            data, again = self._loaded(task, site), self._loaded(task, site)
        except Exception as error:
            known = isinstance(error, FederationError)
            level: Level = "warning" if known and self._setting.data is None else "fault"
            todo = getattr(error, "hint", "") or ("" if self._private else INVENTED)
            said = str(error) if known else self._words(error)
            self._say(level, what, said if level == "fault" else f"invented patients were not taken: {said}", todo)
            return None
        if not isinstance(data, SiteData):
            self._say(
                "fault", what, f"load returned a {type(data).__name__}{self._written(task, 'load')}", "SiteData(…)"
            )
            return None
        for part, same in ((data.train, again.train), (data.test, again.test)):
            if not (np.array_equal(part.inputs, same.inputs) and np.array_equal(part.targets, same.targets)):
                said = f"loaded twice, the patients differ{self._written(task, 'load')}"
                self._say("fault", what, said, "split by is_test, draw nothing without a fixed seed")
                break
        return data if self._patients(task, what, data) else None

    def _loaded(self, task: Task, site: str) -> SiteData:
        setting = self._setting
        quarantine = Quarantine(setting.bad_records_max)
        if setting.data is not None:
            return task.load(DataSource(site, setting.data, setting.options, quarantine))
        source = InventedSource(site, setting.scratch, setting.options, quarantine)
        for _ in range(TABLES_MAX):
            try:
                return task.load(source)
            except Exception as error:
                if (asked := _file_asked_for(error, setting.scratch)) is None:
                    raise
                source.invent(task.contract, asked)
        return task.load(source)

    def _patients(self, task: Task, what: str, data: SiteData) -> bool:
        """Whether these arrays are ones that can be learnt from."""
        before, where = len(self.findings), self._written(task, "load")
        for part, patients in (("train", data.train), ("test", data.test)):
            for name, array in (("inputs", patients.inputs), ("targets", patients.targets)):
                if array.dtype.kind not in "fiub":
                    todo = "numbers only: .astype('float64'), or codes of a category"
                    self._say("fault", what, f"{part} {name} are {array.dtype}{where}", todo)
                elif array.dtype.kind == "f" and not np.isfinite(array).all():
                    todo = "fill in what is missing (scaled() does), or leave those patients out"
                    self._say("fault", what, f"{part} {name} hold values that are not finite{where}", todo)
        if not len(data.train):
            self._say("fault", what, f"no training patients{where}")
        if not len(data.test):
            self._say("warning", what, "no test patients: this site trains and judges nothing")
        if len(self.findings) > before and self.findings[-1].level == "fault":
            return False
        shape = "×".join(map(str, data.train.inputs.shape[1:])) or "1"
        sizes = f"{len(data.train)} training and {len(data.test)} test patients, inputs {shape}"
        self._say("ok", what, f"{sizes} {data.train.inputs.dtype}, targets {data.train.targets.dtype}")
        return True

    def _train(self, task: Task, initial: Vector, data: SiteData, *, again: bool) -> None:
        what, asked = f"train {data.site}", [0]
        started_s = time.monotonic()
        if (update := self._try(what, lambda: self._update(task, initial, data, asked))) is None:
            return
        seconds = time.monotonic() - started_s
        self.round_s = max(self.round_s, seconds)
        where = self._written(task, "train")
        if not isinstance(update, np.ndarray) or update.dtype != np.float32 or update.shape != initial.shape:
            kind = f"{getattr(update, 'dtype', type(update).__name__)} {getattr(update, 'shape', '')}"
            self._say("fault", what, f"the update is {kind}, expected float32 {initial.shape}{where}")
            return
        if not np.isfinite(update).all():
            self._say("fault", what, f"the update holds values that are not finite{where}")
            return
        if not update.any():
            self._say("warning", what, "the update is zero: nothing was learnt from these patients")
        if again:
            second = self._try(what, lambda: self._update(task, initial, data, [0]))
            if second is not None and not np.array_equal(update, second):
                todo = "draw from generators seeded by `seed`, and keep nothing from one training to the next"
                self._say("fault", what, f"the same seed and patients give two updates{where}", todo)
            if not asked[0]:
                todo = "ask cancelled() before each step and raise TrainingCancelledError"
                self._say("warning", what, "training never asks whether it was cancelled: it would be killed", todo)
        self._say("ok", what, f"a round in {seconds:.2g} s, update of length {np.linalg.norm(update):.3g}")

    def _update(self, task: Task, initial: Vector, data: SiteData, asked: list[int]) -> Vector:
        """One round as a trainer has it: a base that cannot be written to."""
        base = initial.copy()
        base.flags.writeable = False

        def cancelled() -> bool:
            asked[0] += 1
            return False

        return task.train(
            base, data, self._setting.training, seed=SEED, progress=lambda share: None, cancelled=cancelled
        )

    def _judge(self, task: Task, vector: Vector, data: SiteData) -> None:
        if not len(data.test):
            return
        what = f"judge {data.site}"
        outputs = self._try(what, lambda: np.asarray(task.predict(vector, data.test)))
        if outputs is None:
            return
        where = self._written(task, "predict")
        if not outputs.ndim or len(outputs) != len(data.test):
            todo = "one row of outputs for each patient"
            self._say("fault", what, f"{outputs.shape} outputs for {len(data.test)} patients{where}", todo)
            return
        if outputs.dtype.kind not in "fiub" or not np.isfinite(outputs).all():
            self._say("fault", what, f"outputs of version 0 are not finite{where or self._written(task, 'model')}")
            return
        one_by_one = self._try(what, lambda: _one_by_one(task, vector, data.test))
        if one_by_one is not None and not np.allclose(outputs, one_by_one, rtol=NEAR, atol=NEAR, equal_nan=True):
            todo = "a patient's output must not depend on who else is in the batch: versions are judged in batches"
            self._say("fault", what, f"outputs differ when patients come one by one{where}", todo)
        values = self._try(what, lambda: task.evaluate(vector, data))
        if values is not None and self._values(task, what, values):
            said = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            self._say("ok", what, said if not self._private else ", ".join(values))
        loss = self._try(what, lambda: float(task.loss_on(vector, data.train)))
        if loss is not None and not np.isfinite(loss):
            self._say("fault", what, f"loss_on is not finite{self._written(task, 'loss_on', 'loss')}")

    def _values(self, task: Task, what: str, values: Mapping[str, float], *, all_labels: bool = True) -> bool:
        """Whether these metrics may be told."""
        where, before = self._written(task, "measure"), len(self.findings)
        for name, value in values.items():
            if not _is_id(name):
                self._say(
                    "fault", what, f"the metric {name!r} is no id{where}", "small letters, digits and -, at most 40"
                )
            elif not isinstance(value, int | float | np.number):
                self._say("fault", what, f"{name} is a {type(value).__name__}{where}", "float(…)")
            elif not np.isfinite(value):
                todo = "leave a metric out where it is undefined: no key, never NaN"
                self._say("fault", what, f"{name} is not finite{where}", todo)
        for name in {task.metric, task.weight} if all_labels else ():
            if name not in values:
                self._say("fault", what, f"measure does not give {name}{where}", f'return {{"{name}": …}}')
        return len(self.findings) == before

    def _odd_sites(self, task: Task, vector: Vector, data: SiteData) -> None:
        """Sites that come up sooner or later: patients of one label alone, one patient, nobody to test on."""
        for rows in _one_label(data.test):
            outputs = np.asarray(task.predict(vector, data.test))[rows] if len(data.test) else np.zeros(0)
            what = "one label"
            values = self._try(what, lambda o=outputs, r=rows: task.measure(o, data.test.targets[r]))  # type: ignore[misc]
            if values is not None:
                self._values(task, what, values, all_labels=False)
        for rows in _one_label(data.train):
            self._odd_round(
                task, vector, data, rows, "one label", "a site where all patients have one label cannot train"
            )
        one = np.arange(len(data.train)) == 0
        self._odd_round(task, vector, data, one, "one patient", "a site with one training patient cannot train")
        if self._setting.data is None and len(data.train) <= ALONE_PATIENTS_MAX:
            self._try("alone", lambda: task.alone(data, self._setting.training, seed=SEED, progress=lambda share: None))

    def _odd_round(
        self, task: Task, vector: Vector, data: SiteData, rows: NDArray[np.bool_], what: str, said: str
    ) -> None:
        part = SiteData(data.site, data.train.take(rows), data.test, data.bytes_data, data.extra)
        try:
            self._update(task, vector, part, [0])
        except Exception as error:
            words = str(error) if isinstance(error, FederationError) else self._words(error)
            self._say("warning", what, f"{said}: {words}")

    def _predicted(self, task: Task, vector: Vector, inputs: NDArray[Any]) -> bool:
        """Whether these inputs have predictions, one for each in every column. Raises LocalError."""
        rows = len(inputs)
        named = task.predictions(np.asarray(task.predict(vector, Patients(inputs, np.zeros(rows, np.int64)))))
        wrong = [name for name, column in named.items() if np.shape(column) != (rows,)]
        if wrong or not named:
            raise LocalError(
                f"predictions: {', '.join(wrong) or 'no column'} of {rows} rows{self._written(task, 'predictions')}",
                hint="predictions gives an array (rows,) by name",
            )
        return True

    def _inputs(self, task: Task, vector: Vector) -> None:
        """Whether patients without an outcome can be predicted from a table."""
        self._private = False
        if type(task).inputs is Task.inputs:
            todo = "write inputs(self, table) and use it in load"
            self._say("warning", "inputs", "the task cannot predict from a table: it has no `inputs`", todo)
            return
        if not isinstance(getattr(task, "contract", None), DataContract):
            return
        table = invented_table(task.contract.unlabelled())
        if (whole := self._try("inputs", lambda: np.asarray(task.inputs(table)))) is None:
            return
        rows, where = len(next(iter(table.values()))), self._written(task, "inputs")
        first = self._try("inputs", lambda: np.asarray(task.inputs({name: c[:1] for name, c in table.items()})))
        if len(whole) != rows:
            self._say("fault", "inputs", f"{len(whole)} inputs for {rows} rows{where}", "one for each row, in order")
        elif first is not None and not np.allclose(first, whole[:1], rtol=NEAR, atol=NEAR, equal_nan=True):
            todo = "scale by constants: a long table comes in pieces, and a new patient comes alone"
            self._say("fault", "inputs", f"a row's inputs depend on the other rows{where}", todo)
        elif self._try("inputs", lambda: self._predicted(task, vector, whole)) is not None:
            self._say("ok", "inputs", "patients can be predicted from a table")

    def _try(self, what: str, do: Callable[[], T]) -> T | None:
        """The result; None after a fault, which is said with the author's line."""
        try:
            return do()
        except FederationError as error:
            place = place_of_error(error, self._folder)
            own = f" ({place})" if place.split(",")[0].endswith(".py") and self._is_own(place) else ""
            self._say("fault", what, f"{error}{own}", getattr(error, "hint", ""))
        except Exception as error:
            self._say("fault", what, self._words(error))
        return None

    def _is_own(self, place: str) -> bool:
        return (self._folder / place.split(",")[0]).is_file()

    def _words(self, error: BaseException) -> str:
        said = in_short(error) if self._private else in_words(error)
        return f"{said} ({place_of_error(error, self._folder)})"

    def _written(self, task: Task, *names: str) -> str:
        places = [place for name in names if (place := place_of_method(task, name, self._folder))]
        return f" ({places[0]})" if places else ""

    def _say(self, level: Level, what: str, said: str, todo: str = "") -> None:
        finding = Finding(level, what, said, todo)
        if finding not in self.findings:
            self.findings.append(finding)


def _is_id(value: object) -> bool:
    with suppress(ValueError, TypeError):
        ID.pack(value)
        return isinstance(value, str)
    return False


def _file_asked_for(error: BaseException, folder: Path) -> Path | None:
    """The file below `folder` that is not there and that the error is about."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, FileNotFoundError) and at.filename is not None:
            path = Path(at.filename)
            if path.is_relative_to(folder) and not path.exists():
                return path
        at = at.__cause__ or at.__context__
    return None


def _one_by_one(task: Task, vector: Vector, patients: Patients) -> NDArray[Any]:
    rows = np.arange(len(patients))
    return np.concatenate(
        [np.asarray(task.predict(vector, patients.take(rows[at : at + 1]))) for at in rows[:8]]
        + [np.asarray(task.predict(vector, patients.take(rows[8:])))] * bool(len(rows) > 8)
    )


def _one_label(patients: Patients) -> list[NDArray[np.bool_]]:
    """For each target that takes two values: the patients with the one, and with the other."""
    targets = patients.targets.reshape(len(patients), -1) if len(patients) else np.zeros((0, 0))
    found = []
    for column in targets.T:
        values = np.unique(column)
        if len(values) == 2:
            found += [column == value for value in values]
    return found
