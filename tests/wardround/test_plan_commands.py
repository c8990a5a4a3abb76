"""`wardround plan`: what an author writes, checks and signs."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audit.models import header_of
from learning.model_file import write_model
from protocol.digests import digest_of
from registry.plans.authoring import author_plan, read_signed_plan
from registry.plans.forms import PLAN_FORM
from runtime.child import ROOT
from runtime.units import human_time
from tests.wardround import synthetic
from wardround.cli import main

ENTRY = "tests.wardround.tasks.small:task"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    assert main(["registrar", "keys", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def draft(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """What `plan init` writes."""
    path = tmp_path / "plan.toml"
    words = ["plan", "init", ENTRY, "--study", "small", "--site", "a", "--site", "b", "--site", "c"]
    assert main([*words, "--out", str(path)]) == 0
    capsys.readouterr()
    return path


def sign(draft: Path, keys: Path, *more: str) -> int:
    key = str(keys / "registrar.sign")
    return main(["plan", "sign", str(draft), "--key", key, "--out", str(draft.parent / "signed"), *more])


def test_every_line_that_the_template_shows_as_a_default_is_one(draft: Path) -> None:
    """With all comments taken away the plan stays the same, but for the keys that only fit another choice."""
    text = draft.read_text()
    shown = "\n".join(
        line[2:] if line.startswith("# ") and " = " in line.split("#")[1] else line for line in text.splitlines()
    )
    unlike = ("slope", "late_from", "split", "target", "examples_max")
    kept = "\n".join(line for line in shown.splitlines() if not line.startswith(unlike))
    other = draft.with_name("shown.toml")
    other.write_text(kept)
    assert author_plan(other).plan == author_plan(draft).plan
    keys = {(name, key) for name, table in tomllib.loads(shown).items() for key in table}
    assert keys >= {(name, key) for name, form in PLAN_FORM.sections.items() for key in form.keys} - _left_out()


def _left_out() -> set[tuple[str, str]]:
    """Keys that a beginner's plan does not show."""
    masking = ("aggregate_interval_s", "aggregates_max", "offer_age_max_s", "prg", "kem")
    encoding = (("encoding", "kind"), ("encoding", "modulus_bits"))
    return {("training", "epochs"), *encoding, *(("masking", key) for key in masking)}


@pytest.mark.parametrize("named", ["breast", "breast/task.py", "breast/"])
def test_a_plan_is_begun_by_the_studys_folder_too(named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "init", f"{ROOT / 'studies'}/{named}", "--site", "a", "--site", "b"]) == 0
    values = tomllib.loads(capsys.readouterr().out)
    assert (values["study"]["id"], values["task"]["entry"]) == ("breast", "studies.breast.task:task")


@pytest.mark.parametrize("named", ["nowhere", "studies.lung.task", "task:task", "studies.lung:none"])
def test_what_names_no_study_is_said_without_a_traceback(named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "init", named, "--site", "a"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "Traceback" not in said


@pytest.mark.parametrize("command", [["plan", "check"], ["simulate"]])
def test_a_folder_in_the_place_of_its_plan_is_told_where_the_plan_lies(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ROOT / "studies" / "breast"
    assert main([*command, str(folder)]) == 2
    assert str(folder / "plan.toml") in capsys.readouterr().err


def test_a_version_of_one_update_is_said_to_be_one_sites(draft: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draft.write_text(draft.read_text().replace('preset = "fedbuff"', 'preset = "fedasync"'))
    assert main(["plan", "check", str(draft)]) == 0
    assert "1 update of 3 sites: a quick site can make versions without the others" in capsys.readouterr().out


def test_signing_writes_a_plan_that_names_its_version_0(draft: Path, keys: Path) -> None:
    assert sign(draft, keys) == 0
    plan = read_signed_plan(draft.parent / "signed" / "small.plan", (keys / "registrar.pub").read_bytes())
    initial = (draft.parent / "signed" / "small.initial").read_bytes()
    assert np.frombuffer(initial, "<f4").tolist() == [0.0, 1.0, 2.0]
    assert plan.initial == digest_of([initial])
    assert (plan.parameters, plan.evaluation.metric, plan.sites_expected) == (3, "accuracy", 3)


def test_the_digest_of_text_and_of_signed_plan_agree(
    draft: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sign(draft, keys)
    capsys.readouterr()
    digests = []
    for path in (draft, draft.parent / "signed" / "small.plan"):
        assert main(["plan", "digest", str(path)]) == 0
        digests.append(capsys.readouterr().out)
    assert digests[0] == digests[1]
    assert len(digests[0].strip()) == 64


def test_a_warm_start_becomes_version_0(draft: Path, keys: Path) -> None:
    warm = draft.with_name("warm.f32")
    np.array([5, 6, 7], "<f4").tofile(warm)
    assert sign(draft, keys, "--warm", str(warm)) == 0
    assert (draft.parent / "signed" / "small.initial").read_bytes() == warm.read_bytes()


def test_an_exported_model_becomes_version_0_and_one_that_was_changed_is_refused(draft: Path, keys: Path) -> None:
    vector = np.array([5, 6, 7], "<f4")
    header = replace(header_of(synthetic.history(), 3), model=digest_of([vector.tobytes()]).hex())
    warm = draft.with_name("warm.safetensors")
    write_model(warm, {"parameters": vector}, header)
    assert sign(draft, keys, "--warm", str(warm)) == 0
    assert (draft.parent / "signed" / "small.initial").read_bytes() == vector.tobytes()
    write_model(warm, {"parameters": vector + 1}, header)
    assert sign(draft, keys, "--warm", str(warm)) == 2


@pytest.mark.parametrize(
    ("values", "reason"), [([1.0, 2.0], "has 8 bytes"), ([1.0, float("nan"), 2.0], "values that are not finite")]
)
def test_a_warm_start_that_does_not_fit_is_refused(
    draft: Path, keys: Path, values: list[float], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    warm = draft.with_name("warm.f32")
    np.array(values, "<f4").tofile(warm)
    assert sign(draft, keys, "--warm", str(warm)) == 2
    assert reason in capsys.readouterr().err


def test_a_plan_signed_by_another_key_is_refused(draft: Path, keys: Path, tmp_path: Path) -> None:
    from schemas.errors import LocalError

    sign(draft, keys)
    main(["registrar", "keys", "--out", str(tmp_path / "other")])
    with pytest.raises(LocalError, match="no plan signed with this key"):
        read_signed_plan(draft.parent / "signed" / "small.plan", (tmp_path / "other" / "registrar.pub").read_bytes())


def test_a_cut_plan_file_is_refused(draft: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sign(draft, keys)
    path = draft.parent / "signed" / "small.plan"
    path.write_bytes(path.read_bytes()[:-1])
    assert main(["plan", "digest", str(path)]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_check_tells_people_and_scripts_the_same(draft: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "check", str(draft), "--round", "1h"]) == 0
    words = capsys.readouterr().out
    assert f"absence of {human_time(50 * 3600)} still counts" in words
    assert "no masking" in words
    assert main(["plan", "check", str(draft), "--round", "1h", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["absence_s"] == 50 * 3600


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("steps = 10", "steps = 10\nepochs = 2"), "training needs either epochs or steps"),
        (("[training]", "[trainng]"), "unknown section [trainng]; did you mean `training`?"),
        (("tasks.small:task", "tasks.none:task"), "no module"),
        (("batch = 32", "batch = 32\nmomentum = 0.5"), "training.momentum"),
    ],
)
def test_a_mistake_in_a_plan_is_one_clear_message(
    draft: Path, change: tuple[str, str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    draft.write_text(draft.read_text().replace(*change))
    assert main(["plan", "check", str(draft)]) == 2
    words = capsys.readouterr().err
    assert reason in words
    assert "Traceback" not in words


def test_init_overwrites_nothing(draft: Path) -> None:
    before = draft.read_bytes()
    assert main(["plan", "init", ENTRY, "--out", str(draft)]) == 2
    assert draft.read_bytes() == before


def test_init_looks_where_it_has_to_write_before_it_imports_the_task(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "plan.toml"
    there.write_text("")
    places = {there: "exists already", tmp_path / "no" / "plan.toml": "is no folder"}
    for out, said in places.items():
        assert main(["plan", "init", "no.such.task:task", "--out", str(out)]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("what", ["check", "digest"])
def test_a_warm_start_of_a_signed_plan_is_refused_as_it_does_nothing(
    what: str, draft: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sign(draft, keys) == 0
    assert main(["plan", what, str(draft.parent / "signed" / "small.plan"), "--warm", "x"]) == 2
    assert "--warm x does nothing" in capsys.readouterr().err


def test_a_registrars_key_that_is_not_there_is_not_told_as_a_members(
    draft: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = str(tmp_path / "registrar.sign")
    for words in (["plan", "sign", str(draft)], ["registrar", "roster"], ["study", "create", "small.plan"]):
        assert main([*words, "--key", key]) == 2
        told = capsys.readouterr().err
        assert f"the registrar's private key {key} is not there" in told
        assert "--key" in told
        assert "wardround registrar keys" in told


def test_a_members_key_signs_no_plan(draft: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "new", "clinic-north", "--out", str(tmp_path / "keys")]) == 0
    capsys.readouterr()
    assert main(["plan", "sign", str(draft), "--key", str(tmp_path / "keys" / "clinic-north.sign")]) == 2
    told = capsys.readouterr().err
    assert "is the key of the member clinic-north, and not the registrar's" in told
    assert "--key" in told


def test_a_time_that_is_none_is_refused(draft: Path) -> None:
    assert main(["plan", "check", str(draft), "--round", "soon"]) == 2


def test_the_files_of_a_task_can_be_compared_before_and_after_the_plan_is_signed(
    draft: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sign(draft, keys)
    capsys.readouterr()
    assert main(["plan", "digest", str(draft), "--files", "--json"]) == 0
    ours = json.loads(capsys.readouterr().out)
    assert main(["plan", "digest", str(draft.parent / "signed" / "small.plan"), "--files", "--json"]) == 0
    theirs = json.loads(capsys.readouterr().out)
    assert theirs["same"] is True
    assert theirs["approved"] == ours["digest"]
    assert theirs["files"] == ours["files"]
    assert set(ours["files"]) == {"__init__.py", "small.py"}
    draft.write_text(draft.read_text() + "\n# a comment after signing\n")
    assert main(["plan", "digest", str(draft), "--files"]) == 0
    assert ours["digest"] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--site", "Hospital_A"), ("--site Hospital_A", "for example --site hospital-a")),
        (("--site", "a", "--site", "a"), ("names a more than once",)),
        (("--study", "Lung 2"), ("--study Lung 2", "for example --study lung-2")),
    ],
    ids=["capital", "twice", "study"],
)
def test_a_name_that_a_plan_may_not_have_is_refused_before_a_plan_is_written(
    words: tuple[str, ...], said: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.toml"
    assert main(["plan", "init", ENTRY, *words, "--out", str(path)]) == 2
    told = capsys.readouterr().err
    assert all(part in told for part in said)
    assert not path.exists()


def test_a_plan_is_written_over_by_force_alone(draft: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draft.write_text("mine")
    words = ["plan", "init", ENTRY, "--study", "small", "--site", "a", "--out", str(draft)]
    assert main(words) == 2
    assert "--force" in capsys.readouterr().err
    assert draft.read_text() == "mine"
    assert main([*words, "--force"]) == 0
    assert tomllib.loads(draft.read_text())["members"]["sites"] == ["a"]


def test_checking_warns_of_a_rate_that_is_far_off_and_of_a_clip_that_may_brake(
    draft: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = draft.read_text()
    assert main(["plan", "check", str(draft)]) == 0
    assert "learning_rate" not in capsys.readouterr().out
    draft.write_text(text.replace("learning_rate = 0.01", "learning_rate = 1e30"))
    assert main(["plan", "check", str(draft)]) == 0
    told = capsys.readouterr().out
    assert "learning_rate 1e+30 is very large" in told
    assert "an update of 10 steps of adam at 1e+30 may be up to" in told
    assert main(["plan", "check", str(draft), "--json"]) == 0
    assert any("very large" in one for one in json.loads(capsys.readouterr().out)["warnings"])


def test_a_task_may_count_its_parameters_in_numpys_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "counts"
    folder.mkdir()
    source = Path(__file__).with_name("tasks") / "small.py"
    (folder / "task.py").write_text(source.read_text().replace("return 3\n", "return np.prod((3, 1))\n"))
    monkeypatch.syspath_prepend(tmp_path)
    plan = folder / "plan.toml"
    assert main(["plan", "init", "counts.task:task", "--out", str(plan)]) == 0
    assert main(["plan", "check", str(plan)]) == 0, capsys.readouterr().err
