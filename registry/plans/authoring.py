"""From plan.toml to a signed plan: runs the task once, in this process, for p and version 0.

Knows:    version 0 comes from the plan's seed, or warm from a file of float32; plan files and how they are signed.
Never:    talks to a broker.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learning.blame import authors_code, place_of_method
from learning.entry import folder_digest, load_task, task_folder
from learning.places import look_beside
from learning.settings import settings_of
from learning.task import Task
from protocol.digests import digest_of
from protocol.files import write_whole
from protocol.signing import Signs, key_id, verify_plan
from registry.plans.draft import Draft, TaskFacts, read_draft
from schemas.errors import LocalError, PeerError
from schemas.plan import Plan, plan_of
from schemas.records import PLAN_BYTES_MAX, Signed


@dataclass(frozen=True, slots=True)
class AuthoredPlan:
    """A plan and its version 0, float32 (p,); `sites` are the names its author expects."""

    plan: Plan
    initial: NDArray[np.float32]
    sites: tuple[str, ...]


def read_plan_draft(path: Path) -> Draft:
    """A plan's text; its task is found beside the plan, too, wherever that lies.

    Raises LocalError when the file cannot be read or its text is wrong.
    """
    try:
        draft = read_draft(path.read_text(encoding="utf-8"), where=str(path))
    except OSError as error:
        raise LocalError(f"{path} cannot be read: {error.strerror}", hint=to_find_a_plan(path)) from None
    except UnicodeDecodeError:
        raise LocalError(f"{path} is no text", hint="a plan is written as TOML; signed plans end in .plan") from None
    look_beside(path, draft.entry)
    return draft


def to_find_a_plan(path: Path) -> str:
    """What to do where `path` is no plan's text: a study's folder has its plan in it."""
    inside = path / "plan.toml"
    return f"name the plan: {inside}" if inside.is_file() else "make one with `wardround plan init`"


def author_plan(path: Path, *, warm: Path | None = None) -> AuthoredPlan:
    """Import the task, make version 0 and build the plan. `warm`: an exported model, or p float32, little-endian.

    Raises LocalError for a wrong plan, a task that cannot be imported, or a warm file that does not fit.
    """
    return author_draft(read_plan_draft(path), warm=warm)


def author_draft(draft: Draft, *, warm: Path | None = None) -> AuthoredPlan:
    """As `author_plan`, from a draft."""
    folder = task_folder(draft.entry)
    code = folder_digest(folder)
    task = load_task(draft.entry, digest=code)
    with authors_code("making version 0", folder):
        task.parameters()
        initial = _warm(warm, task) if warm else np.asarray(task.initial(draft.seed), dtype="<f4")
    if not np.isfinite(initial).all():
        count = np.count_nonzero(~np.isfinite(initial))
        raise LocalError(
            f"version 0 holds {count} of {initial.size} parameters that are not finite",
            hint=f"look at how the model is initialised: {place_of_method(task, 'model', folder) or draft.entry}",
        )
    facts = TaskFacts(
        parameters=int(task.parameters()),  # numpy's numbers are as good
        code=code,
        initial=digest_of([np.ascontiguousarray(initial).data.cast("B")]),
        metric=task.metric,
        higher_is_better=task.higher_is_better,
        weight=task.weight,
    )
    plan = draft.plan(facts)
    _check_training(plan, draft.where)
    return AuthoredPlan(plan, initial, draft.sites)


def write_signed(authored: AuthoredPlan, key: Signs, folder: Path) -> tuple[Path, Path]:
    """Write `<study>.plan` (signed) and `<study>.initial` (float32); the plan last. Returns both paths."""
    plan = authored.plan
    payload = plan.to_bytes()
    signed = Signed(key.key_id, payload, key.sign_plan(payload))
    initial_path, plan_path = folder / f"{plan.study}.initial", folder / f"{plan.study}.plan"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalError(f"{folder} cannot be made: {error.strerror}") from None
    write_whole(initial_path, np.ascontiguousarray(authored.initial).data.cast("B"))
    write_whole(plan_path, signed.to_bytes())
    return plan_path, initial_path


def read_signed_plan(path: Path, *registrar: bytes) -> Plan:
    """A plan from its signed file; with public keys of the registrar's, it has to be signed with one of them.

    Raises LocalError saying what is wrong.
    """
    try:
        with path.open("rb") as file:
            content = file.read(PLAN_BYTES_MAX + 256)
        signed = Signed.from_bytes(content)
        if registrar:
            public = next((one for one in registrar if key_id(one) == signed.key_id), registrar[0])
            verify_plan(signed.payload, signed.signature, public)
        return plan_of(signed.payload)
    except OSError as error:
        raise LocalError(
            f"{path} cannot be read: {error.strerror}", hint="make it with `wardround plan sign`"
        ) from None
    except PeerError as error:
        raise LocalError(
            f"{path} is no plan signed with this key: {error}",
            hint="sign it with `wardround plan sign --key registrar.sign`",
        ) from None


def _warm(path: Path, task: Task) -> NDArray[np.float32]:
    """Version 0 from an exported model, or from p float32."""
    if path.suffix == ".safetensors":
        from learning.model_file import check_state, read_model

        header, state = read_model(path)
        exported = task.vector_of(state)
        check_state(exported, header, where=str(path))
        return exported
    try:
        vector = np.fromfile(path, dtype="<f4")
        size = path.stat().st_size
    except OSError as error:
        raise LocalError(f"the warm start {path} cannot be read: {error.strerror}") from None
    if size != 4 * task.parameters():
        raise LocalError(
            f"{path} has {size} bytes, the task's model {task.parameters()} parameters of 4 bytes",
            hint="it has to be the model of the same task: exported as .safetensors, or plain float32 little-endian",
        )
    if not np.isfinite(vector).all():
        raise LocalError(f"{path} holds values that are not finite")
    return vector


def _check_training(plan: Plan, where: str) -> None:
    """What learning would refuse at each site is refused here, before anybody signs it."""
    try:
        settings_of(plan)
    except LocalError as error:
        raise LocalError(f"{where}: {error}", hint=error.hint) from None
