"""A bundle for whoever helps: findings, versions, settings, state and the ends of logs, with what is secret left out.

Never:    holds a key, a password, a path of data, a task's own words, or what a task printed.
"""

import io
import json
import os
import platform
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from participant.settings import Settings as SiteSettings
from participant.shell.control import read_state
from runtime.disk import said, to_do
from schemas.errors import LocalError
from wardround.doctor.case import Case
from wardround.doctor.finding import Finding, State
from wardround.doctor.redaction import OUT, Redaction
from wardround.doctor.shown import values

LOG_LINES, LOG_BYTES = 200, 256 * 1024
LIBRARIES = ("aiokafka", "cryptography", "msgpack", "numpy", "structlog", "torch", "wardround")
_TASKS_WORDS = frozenset({"task"})  # findings that may repeat what a task said
_TASK_LOG = "task.log"
_WORDS = ("reason", "hint", "message", "exception")  # of a line about a study: a task's own words, perhaps


def write_bundle(path: Path, case: Case, findings: Iterable[Finding]) -> list[str]:
    """Write a tar.gz that nobody else may read; returns the names in it. Raises LocalError where that cannot be."""
    files = contents(case, findings)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as archive:
            for name, text in files.items():
                data = text.encode("utf-8", "replace")
                about = tarfile.TarInfo(f"wardround-doctor/{name}")
                about.size, about.mode, about.mtime = len(data), 0o600, int(case.machine.now().timestamp())
                archive.addfile(about, io.BytesIO(data))
    except FileExistsError:
        raise LocalError(f"{path} exists already", hint="name another file, or remove it") from None
    except OSError as error:
        raise LocalError(f"the bundle cannot be written: {said(error, path)}", hint=to_do(error, "")) from None
    return list(files)


def contents(case: Case, findings: Iterable[Finding]) -> dict[str, str]:
    """By name, redacted."""
    redacted = Redaction.of(case)
    files = {
        "findings.json": _json(values(map(_without_words, findings))),
        "versions.json": _json(_versions()),
        "settings.json": _json(_settings(case)),
    }
    if case.settings is not None:
        files |= _of_folder(case.settings.data_dir)
    return {name: redacted(text) for name, text in files.items()}


def _json(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True, default=str, ensure_ascii=False) + "\n"


def _without_words(finding: Finding) -> Finding:
    """How many patients there are stays here, too."""
    if finding.name not in _TASKS_WORDS or finding.state is State.SKIPPED:
        return finding
    return replace(finding, seen=f"{OUT}: `wardround doctor` shows it at the site")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "system": platform.platform()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed"
    return found


def _settings(case: Case) -> dict[str, Any]:
    """As they were read, by key; of what a redaction cannot know for sure only that it is there."""
    if case.settings is None:
        return {"who": case.who.value}
    found = asdict(case.settings)
    kafka = found["kafka"]
    kafka.update({key: OUT for key in ("proxy_user", "proxy_password_file") if kafka[key]})
    if "://" in kafka["proxy"]:
        kafka["proxy"] = OUT
    if isinstance(case.settings, SiteSettings):
        for study in found["studies"]:
            study.update({key: OUT for key in ("data", "task_folder") if study[key]})
            study["options"] = dict.fromkeys(study["options"], OUT)
    return {"who": case.who.value, **found}


def _of_folder(folder: Path) -> dict[str, str]:
    """state.json as this software reads it, and the ends of logs, but never what a task printed."""
    files = {}
    try:
        state = read_state(folder)
    except LocalError as error:
        files["state.json"] = _json({"unreadable": str(error)})
    else:
        if state is not None:
            studies = [{**asdict(one), "held": OUT if one.held else ""} for one in state.studies]
            files["state.json"] = _json({**asdict(state), "studies": studies})
    for path in _logs(folder):
        files[f"logs/{path.name}"] = _end_of(path)
    return files


def _logs(folder: Path) -> list[Path]:
    try:
        found = sorted(path for path in folder.glob("*.log*") if path.is_file() and not path.is_symlink())
    except OSError:
        return []
    return [path for path in found if not path.name.startswith(_TASK_LOG)]


def _end_of(path: Path) -> str:
    """The last lines; only those that this software writes for machines, since others may hold anything."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - LOG_BYTES))
            text = file.read(LOG_BYTES).decode("utf-8", "replace")
    except OSError as error:
        return f"{said(error, path)}\n"
    kept = [_line(line) for line in text.splitlines()[-LOG_LINES:]]
    return "\n".join(kept) + "\n"


def _line(line: str) -> str:
    """A line of a service's log. What concerns a study may repeat a task's own words, which stay here."""
    try:
        told = json.loads(line)
    except ValueError:
        return OUT
    if not isinstance(told, Mapping):
        return OUT
    about_study = "study" in told
    return json.dumps({key: OUT if about_study and key in _WORDS else value for key, value in told.items()})
