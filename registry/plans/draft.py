"""From a plan as its author writes it (TOML, most keys left out) to the Plan that is signed.

Knows:    every section and key, the defaults, what a preset sets, how to name a mistake.
Never:    runs a task or reads a file: what only the task can tell comes in as TaskFacts.
Used by:  wardround (plan check, plan sign, demo).
Source:   defaults: secure aggregation specification, section 2; FedOpt (arXiv 2003.00295) for beta1, beta2, epsilon.
"""

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from registry.plans.presets import EXAMPLES, absence_step, deadline_s, goal_of, minimum_of, staleness_of
from schemas.codec import ID, Struct
from schemas.errors import LocalError
from schemas.plan import (
    ABSENCE,
    ABSENCE_CAP_MAX,
    PRESETS,
    WEIGHT_MAX,
    Aggregation,
    Clipped,
    DataRule,
    EvaluationRule,
    Masking,
    Noise,
    Plan,
    StopRule,
    Storage,
    TaskSpec,
    Training,
    largest_scale_bits,
)
from schemas.topics import UPDATES_KEPT_DAYS

S = TypeVar("S", bound=Struct)
_DAY_S = 24 * 3600
PROGRESS_LIMIT_S = 600
TEST_MIN = 5  # below five, counts of patients are small cells: an AUC of them tells who had the event
_SMALL_MODEL = 4096  # up to here one coordinate may take the whole clip


@dataclass(frozen=True, slots=True)
class Key:
    """What one key may hold. `kind` is text, whole, number, flag or names; without a default it may be left out."""

    kind: str
    default: Any = None
    required: bool = False


_TEXT, _WHOLE, _NUMBER, _FLAG, _NAMES = "text", "whole", "number", "flag", "names"
SECTIONS: Mapping[str, Mapping[str, Key]] = {
    "study": {"id": Key(_TEXT, required=True), "title": Key(_TEXT, ""), "seed": Key(_WHOLE, 0)},
    "members": {"sites": Key(_NAMES, required=True)},
    "task": {"entry": Key(_TEXT, required=True), "options": Key("options", {})},
    "training": {
        "optimiser": Key(_TEXT, "sgd"),
        "learning_rate": Key(_NUMBER, 0.01),
        "momentum": Key(_NUMBER, 0.0),
        "weight_decay": Key(_NUMBER, 0.0),
        "epochs": Key(_WHOLE),
        "steps": Key(_WHOLE),
        "batch": Key(_WHOLE, 32),
        "proximal": Key(_NUMBER, 0.0),
        "time_limit_s": Key(_WHOLE, 3600),
        "progress_limit_s": Key(_WHOLE),
    },
    "aggregation": {
        "preset": Key(_TEXT, "fedbuff"),
        "goal": Key(_WHOLE),
        "minimum": Key(_WHOLE),
        "cohort_min": Key(_WHOLE),
        "cohort_max": Key(_WHOLE),
        "deadline_s": Key(_NUMBER),
        "staleness": Key(_TEXT),
        "exponent": Key(_NUMBER),
        "slope": Key(_NUMBER),
        "late_from": Key(_WHOLE),
        "staleness_max": Key(_WHOLE, 64),
        "examples": Key(_FLAG, False),
        "examples_max": Key(_WHOLE),
        "absence_cap": Key(_WHOLE, 1),
        "server_optimiser": Key(_TEXT, "average"),
        "server_lr": Key(_NUMBER),
        "beta1": Key(_NUMBER, 0.9),
        "beta2": Key(_NUMBER, 0.99),
        "denominator_floor": Key(_NUMBER, 1e-3),
    },
    "encoding": {
        "kind": Key(_TEXT, "clipped"),
        "modulus_bits": Key(_WHOLE, 32),
        "clip": Key(_NUMBER, 1.0),
        "clip_inf": Key(_NUMBER),
        "scale_bits": Key(_WHOLE),
    },
    "masking": {
        "trustees": Key(_NAMES, ()),
        "aggregate_interval_s": Key(_WHOLE, 0),
        "aggregates_max": Key(_WHOLE),
        "offer_age_max_s": Key(_WHOLE, 60 * _DAY_S),
        "prg": Key(_TEXT, "aes-256-ctr"),
        "kem": Key(_TEXT, "MLKEM768_X25519"),
    },
    "noise": {"noise_std": Key(_NUMBER)},
    "evaluation": {
        "every": Key(_WHOLE, 1),
        "bootstrap": Key(_WHOLE, 1000),
        "alone": Key(_FLAG, True),
        "metrics": Key(_NAMES, ()),
        "test_min": Key(_WHOLE, TEST_MIN),
        "weight_max": Key(_NUMBER, WEIGHT_MAX),
    },
    "stop": {
        "versions": Key(_WHOLE, required=True),
        "patience": Key(_WHOLE, 0),
        "target": Key(_NUMBER),
        "time_s": Key(_WHOLE, 0),
    },
    "storage": {
        "versions_kept": Key(_WHOLE, 10),
        "audit_days": Key(_WHOLE, UPDATES_KEPT_DAYS),
        "auditors": Key(_NAMES, ()),
    },
    "data": {"bad_records_max": Key(_NUMBER, 0.0)},
}
MOVED: Mapping[str, str] = {  # where keys of older plans stand now
    "aggregation.epsilon": "aggregation.denominator_floor",
    "privacy.encoding": "encoding.kind",
    "privacy.examples": "aggregation.examples",
    "privacy.examples_max": "aggregation.examples_max",
    "privacy.noise_std": "noise.noise_std",
    **{f"privacy.{key}": f"encoding.{key}" for key in SECTIONS["encoding"] if key != "kind"},
    **{f"privacy.{key}": f"masking.{key}" for key in SECTIONS["masking"]},
}


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What the task says about itself: p, SHA-256 of its folder, body digest of version 0, and its primary metric.

    weight   id of the value that weighs sites in an overall figure, see EvaluationRule
    """

    parameters: int
    code: bytes
    initial: bytes
    metric: str
    higher_is_better: bool
    weight: str = "n-test"


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan's text with every type checked and plain defaults filled in; only the task's facts are missing."""

    where: str
    values: Mapping[str, Mapping[str, Any]]

    @property
    def study(self) -> str:
        return str(self.values["study"]["id"])

    @property
    def seed(self) -> int:
        return int(self.values["study"]["seed"])

    @property
    def entry(self) -> str:
        return str(self.values["task"]["entry"])

    @property
    def options(self) -> Mapping[str, str]:
        return dict(self.values["task"]["options"])

    @property
    def sites(self) -> tuple[str, ...]:
        return tuple(self.values["members"]["sites"])

    def plan(self, facts: TaskFacts) -> Plan:
        """The whole plan. Raises LocalError naming every section.key that is wrong."""
        problems: list[str] = []
        sections = _build_sections(self.values, facts, problems)
        if problems:
            raise _refused(self.where, problems)
        study = self.values["study"]
        try:
            return Plan(
                study=study["id"],
                title=study["title"] or study["id"],
                sites_expected=len(self.sites),
                parameters=facts.parameters,
                seed=study["seed"],
                initial=facts.initial,
                **sections,
            )
        except ValueError as error:
            raise _refused(self.where, [str(error)]) from None


def read_draft(text: str, *, where: str = "plan.toml") -> Draft:
    """Parse and check a plan's text. Raises LocalError with all unknown keys, wrong types and missing keys at once."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LocalError(f"{where}: not valid TOML: {error}") from None
    return draft_of(tables, where=where)


def draft_of(tables: Mapping[str, Any], *, where: str = "plan.toml") -> Draft:
    """Check a plan's parsed text. Raises LocalError with all unknown keys, wrong types and missing keys at once."""
    problems = [problem for name in tables if name not in SECTIONS for problem in _unknown_section(name, tables[name])]
    values = {name: _section(name, keys, tables.get(name, {}), problems) for name, keys in SECTIONS.items()}
    if not problems:
        problems += _names(values)
    if problems:
        raise _refused(where, problems)
    return Draft(where, values)


def plan_from_toml(text: str, facts: TaskFacts, *, where: str = "plan.toml") -> Plan:
    """Text and facts to a Plan; see Draft for what the text alone tells."""
    return read_draft(text, where=where).plan(facts)


def _refused(where: str, problems: list[str]) -> LocalError:
    if len(problems) == 1:
        return LocalError(f"{where}: {problems[0]}")
    listed = "".join(f"\n  - {problem}" for problem in problems)
    return LocalError(f"{where}: {len(problems)} problems{listed}")


def _unknown(what: str, name: str, known: Mapping[str, Any], shown: str) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(known)}"
    return f"unknown {what} {shown}; {hint}"


def _unknown_section(name: str, table: Any) -> list[str]:
    """What to do about a section that is none; where its keys moved to other sections, each is named."""
    moved = [key for key in table if f"{name}.{key}" in MOVED] if isinstance(table, dict) else []
    if not moved:
        return [_unknown("section", name, SECTIONS, f"[{name}]")]
    return [_unknown_key(name, key, {}) for key in table]


def _unknown_key(section: str, key: str, known: Mapping[str, Any]) -> str:
    place = MOVED.get(f"{section}.{key}")
    if place is None:
        return _unknown("key", key, known, f"{section}.{key}")
    where, _, name = place.partition(".")
    return f"{section}.{key} has moved: write `{name}` in [{where}]"


def _section(name: str, keys: Mapping[str, Key], table: Any, problems: list[str]) -> dict[str, Any]:
    if not isinstance(table, dict):
        problems.append(f"[{name}] must be a table of keys, got {_shown(table)}")
        return {}
    problems += [_unknown_key(name, key, keys) for key in table if key not in keys]
    values: dict[str, Any] = {}
    for key, rule in keys.items():
        if key not in table:
            values[key] = rule.default
            if rule.required:
                problems.append(f"{name}.{key} is missing")
            continue
        try:
            values[key] = _typed(rule.kind, table[key])
        except ValueError as error:
            problems.append(f"{name}.{key} must be {error}, got {_shown(table[key])}")
    return values


def _typed(kind: str, value: Any) -> Any:
    """The value as its kind wants it; ValueError tells what it must be. True is no number."""
    if kind == _TEXT and isinstance(value, str):
        return value
    if kind == _FLAG and isinstance(value, bool):
        return value
    if kind == _WHOLE and type(value) is int:
        return value
    if kind == _NUMBER and type(value) in (int, float) and math.isfinite(value):
        return float(value) + 0.0  # minus zero becomes zero: one encoding each
    if kind == _NAMES and isinstance(value, list) and all(isinstance(name, str) for name in value):
        return tuple(value)
    if kind == "options" and isinstance(value, dict) and all(isinstance(text, str) for text in value.values()):
        return value
    wanted = {
        _TEXT: "a text",
        _FLAG: "true or false",
        _WHOLE: "a whole number",
        _NUMBER: "a finite number",
        _NAMES: "a list of names",
        "options": "a table of texts",
    }
    raise ValueError(wanted[kind])


def _shown(value: Any) -> str:
    return f"{value!r:.60} ({type(value).__name__})"


def _names(values: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Study and member names are ids, each once."""
    found = []
    lists = {
        "members.sites": values["members"]["sites"],
        "evaluation.metrics": values["evaluation"]["metrics"],
        "storage.auditors": values["storage"]["auditors"],
    }
    for where, names in [("study.id", (values["study"]["id"],)), *lists.items()]:
        for name in names:
            try:
                ID.pack(name)
            except ValueError as error:
                found.append(f"{where}: {error}")
        if len(set(names)) != len(names):
            found.append(
                f"{where} names something twice: {', '.join(sorted({n for n in names if names.count(n) > 1}))}"
            )
    if not values["members"]["sites"]:
        found.append("members.sites is empty: name the sites that are expected to take part")
    return found


def _build_sections(values: Mapping[str, Mapping[str, Any]], facts: TaskFacts, problems: list[str]) -> dict[str, Any]:
    aggregation = _aggregation(values["aggregation"], len(values["members"]["sites"]), problems)
    task, evaluation = values["task"], values["evaluation"]
    options = tuple(sorted(task["options"].items()))
    return {
        "task": _build(TaskSpec, "task", {"entry": task["entry"], "code": facts.code, "options": options}, problems),
        "training": _build(Training, "training", _training(values["training"]), problems),
        "aggregation": aggregation,
        "masking": _build(Masking, "masking", values["masking"], problems),
        "noise": _build(Noise, "noise", {"noise_std": _noise_std(values)}, problems),
        "encoding": aggregation and _encoding(values, facts.parameters, aggregation, problems),
        "evaluation": _build(
            EvaluationRule,
            "evaluation",
            {
                **evaluation,
                "metric": facts.metric,
                "higher_is_better": facts.higher_is_better,
                "weight": facts.weight,
                "metrics": tuple(sorted({facts.metric, facts.weight, *evaluation["metrics"]})),
            },
            problems,
        ),
        "stop": _build(StopRule, "stop", values["stop"], problems),
        "storage": _build(Storage, "storage", _storage(values["storage"], problems), problems),
        "data": _build(DataRule, "data", values["data"], problems),
    }


def _build(cls: type[S], section: str, given: Mapping[str, Any], problems: list[str]) -> S | None:
    """The value, or None and every field that is out of bounds among `problems`."""
    before = len(problems)
    for name, codec in cls._fields():
        try:
            codec.pack(given[name])
        except ValueError as error:
            problems.append(f"{section}.{name.replace('_ms', '_s')}: {error}")
    return cls(**{name: given[name] for name, _ in cls._fields()}) if len(problems) == before else None


def _training(given: Mapping[str, Any]) -> dict[str, Any]:
    steps = given["steps"] or 0
    epochs = given["epochs"] if given["epochs"] is not None else (0 if steps else 1)
    progress_s = _first(given["progress_limit_s"], min(PROGRESS_LIMIT_S, given["time_limit_s"]))
    return {**given, "steps": steps, "epochs": epochs, "progress_limit_s": progress_s}


def _aggregation(given: Mapping[str, Any], sites: int, problems: list[str]) -> Aggregation | None:
    preset, before = given["preset"], len(problems)
    if preset not in PRESETS:
        problems.append(f"aggregation.preset `{preset}` is none of {', '.join(PRESETS)}")
    goal = _first(given["goal"], goal_of(preset, sites))
    minimum = _first(given["minimum"], minimum_of(goal, sites))
    seconds = _first(given["deadline_s"], deadline_s(goal, minimum))
    server_lr, cap = given["server_lr"], given["absence_cap"]
    if not 1 <= cap <= ABSENCE_CAP_MAX:
        problems.append(f"aggregation.absence_cap {cap} is not within 1..{ABSENCE_CAP_MAX} (1: absence does not weigh)")
    if seconds < 0:
        problems.append("aggregation.deadline_s must not be negative (0: only the goal closes a cohort)")
    if server_lr is None and given["server_optimiser"] in ("adagrad", "yogi", "adam"):
        problems.append(f"aggregation.server_lr is missing: {given['server_optimiser']} has no rate that fits all")
    weights = staleness_of(given, problems)
    if len(problems) > before:
        return None
    if given["examples"] and not given["examples_max"]:
        problems.append("aggregation.examples_max is missing: the largest number of training examples of any site")
        return None
    kept = ("preset", "staleness_max", "absence_cap", "server_optimiser", "beta1", "beta2", "denominator_floor")
    chosen = {
        "goal": goal,
        "minimum": minimum,
        "cohort_min": _first(given["cohort_min"], minimum),
        "cohort_max": _first(given["cohort_max"], goal),
        "deadline_ms": round(seconds * 1000),
        "weight_table": weights,
        "examples": EXAMPLES if given["examples"] else None,
        "examples_max": given["examples_max"] or 0,
        "server_lr": _first(server_lr, 1.0) * absence_step(given["server_optimiser"], cap, goal, sites),
    }
    return _build(Aggregation, "aggregation", {name: given[name] for name in kept} | chosen, problems)


def _noise_std(values: Mapping[str, Mapping[str, Any]]) -> float:
    return float(_first(values["noise"]["noise_std"], 16.0 if values["masking"]["trustees"] else 0.0))


def _encoding(
    values: Mapping[str, Mapping[str, Any]], p: int, rule: Aggregation, problems: list[str]
) -> Clipped | None:
    given = values["encoding"]
    clip, bits = given["clip"], given["modulus_bits"]
    if given["kind"] != "clipped":
        problems.append(f"encoding.kind `{given['kind']}` is none of clipped")
    if clip <= 0 or bits not in (32, 64):
        problems.append("encoding.clip must be above 0 and encoding.modulus_bits 32 or 64")
        return None
    clip_inf = _first(given["clip_inf"], clip if p <= _SMALL_MODEL else clip / 8)
    noise, trustees = _noise_std(values), len(values["masking"]["trustees"])

    def scale_bits(bound: float) -> int:
        return largest_scale_bits(
            cohort_max=rule.cohort_max, bound=bound, noise_std=noise, trustees=trustees, modulus_bits=bits
        )

    try:
        scale = _first(given["scale_bits"], min(63, scale_bits(clip_inf)))
        bounds = [(ABSENCE, float(rule.absence_cap))] if rule.absence_cap > 1 else []
        bounds += [(rule.examples, 1.0)] if rule.examples else []
        auxiliary = tuple((name, bound, min(63, scale_bits(bound))) for name, bound in bounds)
    except ValueError as error:
        problems.append(f"encoding: {error}")
        return None
    derived = {"clip_inf": clip_inf, "scale_bits": scale, "auxiliary": auxiliary}
    return _build(Clipped, "encoding", {**given, **derived}, problems)


def _storage(given: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    if given["audit_days"] != UPDATES_KEPT_DAYS:
        problems.append(
            f"storage.audit_days {given['audit_days']}: the broker keeps updates for {UPDATES_KEPT_DAYS} days in every "
            "study, no other value is possible yet; leave it out"
        )
    return {**given, "auditors": tuple(sorted(given["auditors"]))}


def _first(given: Any, default: Any) -> Any:
    return default if given is None else given
