"""What a trial does with patients: train, judge, sites that come up sooner or later, patients without an outcome."""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.contract import DataContract
from learning.invented import invented_table
from learning.task import Patients, SiteData, Task, TrainingSettings, Vector
from rehearsal.findings import Findings
from schemas.codec import ID
from schemas.errors import FederationError, LocalError

SEED = 1
SEVERAL = 8  # patients that are predicted one by one
NEAR = 1e-4
TO_MEASURE = "leave a metric out where it is undefined: no key, never NaN"
TO_SCALE = "scale by constants: a long table comes in pieces, and a new patient comes alone"
TO_SEED = "draw from generators seeded by `seed`, and keep nothing from one training to the next"
TO_NAME = "small letters, digits and -, at most 40: auc, c-index"


class Rounds:
    """Rounds of one task from one vector, version 0; `longest_s` is what one took at most."""

    def __init__(self, task: Task, vector: Vector, training: TrainingSettings, findings: Findings) -> None:
        self._task, self._vector, self._training, self._findings = task, vector, training, findings
        self.longest_s = 0.0

    def train(self, data: SiteData, *, again: bool) -> None:
        """A round of a site; `again` asks for a second one that has to be the same."""
        what, asked, findings, started_s = f"train {data.site}", [0], self._findings, time.monotonic()
        if (update := findings.attempt(what, lambda: self._update(data, asked))) is None:
            return
        seconds, where = time.monotonic() - started_s, findings.written(self._task, "train")
        self.longest_s = max(self.longest_s, seconds)
        if wrong := unlike_a_vector(update, len(self._vector)):
            findings.say("fault", what, f"the update is {wrong}{where}")
            return
        if not np.isfinite(update).all():
            findings.say("fault", what, f"the update holds values that are not finite{where}")
            return
        if not update.any():
            findings.say("warning", what, "the update is zero: nothing was learnt from these patients")
        if again:
            second = findings.attempt(what, lambda: self._update(data, [0]))
            if second is not None and not np.array_equal(update, second):
                findings.say("fault", what, f"the same seed and patients give two updates{where}", TO_SEED)
            if not asked[0]:
                todo = "ask cancelled() before each step and raise TrainingCancelledError"
                findings.say("warning", what, "training never asks whether it was cancelled: it would be killed", todo)
        findings.say("ok", what, f"a round in {seconds:.2g} s, update of length {np.linalg.norm(update):.3g}")

    def judge(self, data: SiteData) -> None:
        """Version 0 on a site's test patients, together and one by one."""
        if not len(data.test):
            return
        what, findings, task = f"judge {data.site}", self._findings, self._task
        outputs = findings.attempt(what, lambda: np.asarray(task.predict(self._vector, data.test)))
        if outputs is None or not self._outputs(what, outputs, data.test):
            return
        values = findings.attempt(what, lambda: task.measure(outputs, data.test.targets))
        if values is None or not self._values(what, values, of=(task.metric, task.weight)):
            return
        evaluated = findings.attempt(what, lambda: task.evaluate(self._vector, data))
        loss = findings.attempt(what, lambda: float(task.loss_on(self._vector, data.train)))
        if loss is not None and not np.isfinite(loss):
            findings.say("fault", what, f"loss_on is not finite{findings.written(task, 'loss_on', 'loss')}")
        if evaluated is not None:
            shown = [name if findings.private else f"{name} {value:.4g}" for name, value in evaluated.items()]
            findings.say("ok", what, ", ".join(shown))

    def odd_sites(self, data: SiteData) -> None:
        """Sites that come up sooner or later: patients of one label alone, and a single one."""
        outputs = np.asarray(self._task.predict(self._vector, data.test)) if len(data.test) else np.zeros(0)
        for rows in one_label(data.test):
            values = self._findings.attempt("one label", lambda: self._measured(outputs, data.test, rows))  # noqa: B023  # called at once
            if values is not None:
                self._values("one label", values)
        for rows in one_label(data.train):
            self._odd_round(data, rows, "one label", "a site where all patients have one label cannot train")
        one = np.arange(len(data.train)) == 0
        self._odd_round(data, one, "one patient", "a site with one training patient cannot train")

    def alone(self, data: SiteData) -> None:
        """The baseline that a site trains."""
        self._findings.attempt(
            "alone", lambda: self._task.alone(data, self._training, seed=SEED, progress=lambda share: None)
        )

    def inputs(self) -> None:
        """Whether patients without an outcome can be predicted from a table, together and one by one."""
        task, findings, contract = self._task, self._findings, getattr(self._task, "contract", None)
        if type(task).inputs is Task.inputs:
            todo = "write inputs(self, table) and use it in load"
            findings.say("warning", "inputs", "the task cannot predict from a table: it has no `inputs`", todo)
        if type(task).inputs is Task.inputs or not isinstance(contract, DataContract):
            return
        table = invented_table(contract.unlabelled())
        if (whole := findings.attempt("inputs", lambda: np.asarray(task.inputs(table)))) is None:
            return
        rows, where = len(next(iter(table.values()))), findings.written(task, "inputs")
        one = {name: column[:1] for name, column in table.items()}
        first = findings.attempt("inputs", lambda: np.asarray(task.inputs(one)))
        if not whole.ndim or len(whole) != rows:
            said = f"inputs of shape {whole.shape} for {rows} rows{where}"
            findings.say("fault", "inputs", said, "one for each row, in order")
        elif first is not None and not _near(first, whole[:1]):
            findings.say("fault", "inputs", f"a row's inputs depend on the other rows{where}", TO_SCALE)
        elif first is not None and findings.attempt("inputs", lambda: self._predicted(whole)) is not None:
            findings.say("ok", "inputs", "patients can be predicted from a table")

    def _update(self, data: SiteData, asked: list[int]) -> Vector:
        """One round as a trainer has it: from a base that cannot be written to. Counts in `asked`."""
        base = self._vector.copy()
        base.flags.writeable = False

        def cancelled() -> bool:
            asked[0] += 1
            return False

        return self._task.train(base, data, self._training, seed=SEED, progress=lambda share: None, cancelled=cancelled)

    def _outputs(self, what: str, outputs: NDArray[Any], test: Patients) -> bool:
        """Whether these outputs can be judged."""
        findings, where = self._findings, self._findings.written(self._task, "predict", "model")
        if not outputs.ndim or len(outputs) != len(test):
            said = f"outputs of shape {outputs.shape} for {len(test)} patients{where}"
            findings.say("fault", what, said, "one row of outputs for each patient")
            return False
        if outputs.dtype.kind not in "fiub" or not np.isfinite(outputs).all():
            findings.say("fault", what, f"outputs of version 0 are not finite numbers{where}")
            return False
        several = test.take(np.arange(min(len(test), SEVERAL)))
        single = findings.attempt(what, lambda: _one_by_one(self._task, self._vector, several))
        if single is None:
            return False
        if not _near(outputs[: len(several)], single):
            todo = "a patient's output must not depend on who else is in the batch: versions are judged in batches"
            findings.say("fault", what, f"outputs differ when patients come one by one{where}", todo)
        return True

    def _measured(self, outputs: NDArray[Any], test: Patients, rows: NDArray[np.bool_]) -> dict[str, float]:
        return self._task.measure(outputs[rows], test.targets[rows])

    def _values(self, what: str, values: Mapping[str, float], *, of: tuple[str, ...] = ()) -> bool:
        """Whether these metrics may be told; those `of` have to be there, but for the number of test patients."""
        findings, where = self._findings, self._findings.written(self._task, "measure")
        if not isinstance(values, Mapping):
            findings.say("fault", what, f"measure returned a {type(values).__name__}{where}", 'return {"auc": …}')
            return False
        before = len(findings.found)
        for name, value in values.items():
            if not is_id(name):
                findings.say("fault", what, f"the metric {name!r} is no id{where}", TO_NAME)
            elif isinstance(value, bool) or not isinstance(value, int | float | np.number):
                findings.say("fault", what, f"{name} is a {type(value).__name__}, not a number{where}", "float(…)")
            elif not np.isfinite(value):
                findings.say("fault", what, f"{name} is not finite{where}", TO_MEASURE)
        for name in of:
            if name not in values and name != "n-test":
                findings.say("fault", what, f"measure does not give {name}{where}", f'return {{"{name}": …}}')
        return len(findings.found) == before

    def _odd_round(self, data: SiteData, rows: NDArray[np.bool_], what: str, said: str) -> None:
        part = SiteData(data.site, data.train.take(rows), data.test, data.bytes_data, data.extra)
        try:
            self._update(part, [0])
        except Exception as error:
            words = str(error) if isinstance(error, FederationError) else self._findings.words(error)
            self._findings.say("warning", what, f"{said}: {words}")

    def _predicted(self, inputs: NDArray[Any]) -> bool:
        """Whether these inputs have predictions, one for each in every column. Raises LocalError."""
        rows = len(inputs)
        outputs = np.asarray(self._task.predict(self._vector, Patients(inputs, np.zeros(rows, np.int64))))
        named = self._task.predictions(outputs)
        wrong = [name for name, column in named.items() if np.shape(column) != (rows,)]
        if wrong or not named:
            where = self._findings.written(self._task, "predictions")
            raise LocalError(
                f"predictions: {', '.join(wrong) or 'no column'} of {rows} rows{where}",
                hint="predictions gives an array (rows,) by name",
            )
        return True


def is_id(value: object) -> bool:
    """Whether a metric may be called so."""
    with suppress(ValueError, TypeError):
        ID.pack(value)
        return isinstance(value, str)
    return False


def one_label(patients: Patients) -> list[NDArray[np.bool_]]:
    """For each target that takes two values: the patients with the one, and with the other."""
    targets = patients.targets.reshape(len(patients), -1) if len(patients) else np.zeros((0, 0))
    found = []
    for column in targets.T:
        values = np.unique(column)
        if len(values) == 2:
            found += [column == value for value in values]
    return found


def _one_by_one(task: Task, vector: Vector, patients: Patients) -> NDArray[Any]:
    rows = np.arange(len(patients))
    return np.concatenate([np.asarray(task.predict(vector, patients.take(rows[at : at + 1]))) for at in rows])


def _near(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one.shape == other.shape and np.allclose(one, other, rtol=NEAR, atol=NEAR, equal_nan=True)


def unlike_a_vector(found: Any, parameters: int) -> str:
    """What it is instead of float32 (p,); empty where it is one."""
    if isinstance(found, np.ndarray) and found.dtype == np.float32 and found.shape == (parameters,):
        return ""
    kind = f"{getattr(found, 'dtype', type(found).__name__)} {getattr(found, 'shape', '')}".rstrip()
    return f"{kind}, expected float32 ({parameters},)"
