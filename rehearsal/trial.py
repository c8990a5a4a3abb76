"""Tries a task before hospitals are asked: on invented patients of its contract, or on its author's own.

Knows:    what a site will do with the task, and every way that is known for it to fail there.
Never:    shows the text of an error that patients of the author's may be in; talks to a broker.
"""

import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeVar

import numpy as np

from learning.contract import DataContract
from learning.entry import folder_digest, load_task, task_folder
from learning.invented import InventedSource
from learning.quarantine import Quarantine
from learning.task import DataSource, SiteData, Task, TrainingSettings, Vector
from registry.plans.authoring import read_plan_draft
from rehearsal.findings import Finding, Findings, count
from rehearsal.trial_rounds import TO_NAME, Rounds, is_id, unlike_a_vector
from schemas.errors import FederationError

T = TypeVar("T")
TABLES_MAX = 8  # files that one load may ask for by name
TABLES = frozenset({".csv", ".tsv", ".txt", ".data"})  # what a task may open by itself and is a table all the same
SEED = 1
SITES_INVENTED = ("site-1", "site-2")
ALONE_PATIENTS_MAX = 200
TO_LABEL = "Column(…, label=True): sites are then told whose records are set aside, and patients can be predicted"
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
    """One trial; `run` gives its findings. What cannot be tried because of a fault before it is left out."""

    def __init__(self, setting: Setting) -> None:
        self._setting, self._folder = setting, task_folder(setting.entry)
        self._findings = Findings(self._folder)
        self.round_s = 0.0  # what a round took at most

    @property
    def memory_mb(self) -> float:
        """The most memory that this process ever had, in MB."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def run(self) -> list[Finding]:
        setting, findings = self._setting, self._findings
        task = findings.attempt("import", lambda: load_task(setting.entry))
        if task is None:
            return findings.found
        digest = findings.attempt("digest", lambda: folder_digest(self._folder))
        if digest is not None:
            findings.say("ok", "digest", f"{digest.hex()[:16]}… of {self._folder}")
        self._names(task)
        if (initial := self._model(task)) is None:
            return findings.found
        rounds = Rounds(task, initial, setting.training, findings)
        findings.private = setting.data is not None
        sites = [data for site in setting.sites if (data := self._load(task, site)) is not None]
        for at, data in enumerate(sites):
            rounds.train(data, again=at == 0)
            rounds.judge(data)
        if sites and not count(findings.found, "fault"):
            rounds.odd_sites(sites[0])
            if len(sites[0].train) <= ALONE_PATIENTS_MAX:
                rounds.alone(sites[0])
        findings.private = False
        rounds.inputs()
        self.round_s = rounds.longest_s
        return findings.found

    def _names(self, task: Task) -> None:
        say = self._findings.say
        for name in ("metric", "weight"):
            value = getattr(task, name, None)
            if not is_id(value):
                say("fault", name, f"{value!r} is no id", TO_NAME)
        if not isinstance(getattr(task, "higher_is_better", None), bool):
            say("fault", "metric", "higher_is_better is not set", "higher_is_better = True, or False for a loss")
        if not isinstance(getattr(task, "contract", None), DataContract):
            say("fault", "contract", "the task has no data contract", "contract = DataContract((Column(…), …))")
        elif not any(column.label for column in task.contract.columns):
            say("warning", "contract", "no column is marked as the label", TO_LABEL)

    def _model(self, task: Task) -> Vector | None:
        """Version 0, if it can be made."""
        findings, seed = self._findings, self._setting.seed
        made = findings.attempt("model", lambda: (task.parameters(), task.initial(seed), task.initial(seed)))
        if made is None:
            return None
        parameters, initial, again = made
        where = findings.written(task, "model") or findings.written(task, "initial")
        if wrong := unlike_a_vector(initial, parameters):
            findings.say("fault", "model", f"version 0 is {wrong}{where}")
            return None
        if unfit := int(np.count_nonzero(~np.isfinite(initial))):
            said = f"{unfit} of {parameters} start values are not finite{where}"
            findings.say("fault", "model", said, "look at how the model is initialised")
            return None
        if not np.array_equal(initial, again):
            todo = "draw start values from torch's generator, or one seeded by `seed`"
            findings.say("fault", "model", f"the same seed gives two versions 0{where}", todo)
        findings.say("ok", "model", f"{parameters:,} parameters, float32, finite")
        return initial

    def _load(self, task: Task, site: str) -> SiteData | None:
        """A site's patients, twice: invented ones, or the author's. What cannot be invented is nobody's fault."""
        what, findings, tables = f"load {site}", self._findings, list[str]()
        try:
            data, again = self._loaded(task, site, tables), self._loaded(task, site, tables)
        except Exception as error:
            known = isinstance(error, FederationError)
            said, todo = str(error) if known else findings.words(error), getattr(error, "hint", "")
            if self._setting.data is None and (known or not tables):
                findings.say("warning", what, f"invented patients were not taken: {said}", todo or INVENTED)
            else:
                findings.say("fault", what, said, todo)
            return None
        where = findings.written(task, "load")
        if not isinstance(data, SiteData):
            findings.say("fault", what, f"load returned a {type(data).__name__}{where}", "return SiteData(…)")
            return None
        if self._setting.data is None and not len(data.train) and not tables:
            findings.say("warning", what, "invented patients were not taken: no table was asked for", INVENTED)
            return None
        for part, same in ((data.train, again.train), (data.test, again.test)):
            if not (np.array_equal(part.inputs, same.inputs) and np.array_equal(part.targets, same.targets)):
                todo = "split by is_test, draw nothing without a fixed seed"
                findings.say("fault", what, f"loaded twice, the patients differ{where}", todo)
                break
        return data if self._patients(what, data, where) else None

    def _loaded(self, task: Task, site: str, tables: list[str]) -> SiteData:
        """A site's patients. Notes the tables that were invented, also those that a task opens by itself."""
        setting = self._setting
        quarantine = Quarantine(setting.bad_records_max)
        if setting.data is not None:
            return task.load(DataSource(site, setting.data, setting.options, quarantine))
        source = InventedSource(site, setting.scratch, setting.options, quarantine, tables)
        for _ in range(TABLES_MAX):
            try:
                return task.load(source)
            except Exception as error:
                asked = _file_asked_for(error, setting.scratch)
                if asked is None or asked.suffix not in TABLES:
                    raise
                source.invent(task.contract, asked)
        return task.load(source)

    def _patients(self, what: str, data: SiteData, where: str) -> bool:
        """Whether these arrays are ones that can be learnt from."""
        say, faults = self._findings.say, count(self._findings.found, "fault")
        for part, patients in (("train", data.train), ("test", data.test)):
            for name, array in (("inputs", patients.inputs), ("targets", patients.targets)):
                if array.dtype.kind not in "fiub":
                    todo = "numbers only: .astype('float64'), or codes of a category"
                    say("fault", what, f"{part} {name} are {array.dtype}{where}", todo)
                elif array.dtype.kind == "f" and not np.isfinite(array).all():
                    todo = "fill in what is missing (scaled() does), or leave those patients out"
                    say("fault", what, f"{part} {name} hold values that are not finite{where}", todo)
        if not len(data.train):
            say("fault", what, f"no training patients{where}")
        if not len(data.test):
            say("warning", what, "no test patients: this site trains and judges nothing")
        if count(self._findings.found, "fault") > faults:
            return False
        shape = "×".join(map(str, data.train.inputs.shape[1:])) or "1"
        sizes = f"{len(data.train)} training and {len(data.test)} test patients, inputs {shape}"
        say("ok", what, f"{sizes} {data.train.inputs.dtype}, targets {data.train.targets.dtype}")
        return True


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
