"""`wardround task test`: what would fail at hospitals fails at the author's desk, with file, line and what to do."""

import json
from pathlib import Path

import pytest

from learning.contract import Column, DataContract
from learning.invented import invented_table
from learning.places import look_in
from tests.wardround.broken import GOOD, HEAD, method, study
from wardround.cli import main

CROSS = "nn.functional.cross_entropy(model(batch.inputs), batch.targets)"


def model(*lines: str) -> dict[str, str]:
    return {"model": method("model(self)", *lines)}


def loss(*lines: str) -> dict[str, str]:
    return {"loss": method("loss(self, model, batch)", *lines)}


def measure(*lines: str) -> dict[str, str]:
    return {"measure": method("measure(self, outputs, targets)", *lines)}


def inputs(*lines: str) -> dict[str, str]:
    return {"inputs": method("inputs(self, table)", *lines)}


def load(*lines: str) -> dict[str, str]:
    return {"load": method("load(self, source)", *lines)}


def changed(part: str, old: str, new: str) -> dict[str, str]:
    assert old in GOOD[part]
    return {part: GOOD[part].replace(old, new)}


NAN_BIAS = ("one = nn.Linear(2, 2)", "nn.init.constant_(one.bias, float('nan'))", "return one")
DRAWN_BIAS = ("one = nn.Linear(2, 2)", "nn.init.constant_(one.bias, np.random.default_rng().normal())", "return one")
TWO = (
    "class Two(nn.Module):",
    "    def __init__(self):",
    "        super().__init__()",
    "        self.layer = nn.Linear(2, 2)",
    "    def forward(self, inputs):",
    "        return self.layer(inputs), inputs",
    "return Two()",
)
NORMED = "return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))"
NO_EVENTS = ("ill = batch.targets == 1", "return model(batch.inputs)[ill].mean() if ill.any() else torch.tensor(0.0)")
IS_TEST = 'is_test("ward", source.split, one, share=0.3)'
AUC = {**changed("names", '"accuracy"', '"AUC"'), **changed("measure", "accuracy", "AUC")}
NAN_METRIC = changed("measure", "float(", "float('nan') if len(set(targets)) < 2 else float(")
RAW = 'np.stack([table["age"], table["sex"]], axis=1)'
MEAN = ('age = table["age"]', "return np.stack([age / age.mean(), age], axis=1)")
SCALED = method("prepared(self, table)", 'return scaled(table, {"age": (60, 15), "sex": (0.5, 0.5)})')
COUNTING = {"names": GOOD["names"] + "\nseen = 0\n", **loss("Ward.seen += 1", f"return {CROSS} * Ward.seen")}
MUTATING = method("train(self, base, data, training, **more)", "base += 1", "return base")
BROKEN = [  # parts of the task that are other than the good one's, level, what is said, more of it or what to do
    (model("return nn.Linear(2)"), "fault", "TypeError", "task.py, line 23, in model"),
    (model("return nn.LazyLinear(2)"), "fault", "lazy module", "without Lazy"),
    (model(*TWO) | loss(f"return {CROSS.replace('inputs)', 'inputs)[0]')}"), "fault", "gives a tuple", "one tensor"),
    (model("return nn.Linear(2, 2).double()"), "fault", "float64", ".float()"),
    (model("return nn.Linear(2, 2, dtype=torch.complex64)"), "fault", "complex64", "real and imaginary"),
    (model(*NAN_BIAS), "fault", "not finite", "initialised"),
    (model("return nn.ReLU()"), "fault", "no parameters", ""),
    (model(*DRAWN_BIAS), "fault", "two versions 0", "generator"),
    (model("return nn.Linear(3, 2)"), "fault", "shapes cannot be multiplied", "in loss"),
    (model(NORMED), "warning", "one training patient cannot train", "more than 1 value"),
    (loss(f"return {CROSS[:-1]}, reduction='none')"), "fault", "it has to be one number", ".mean()"),
    (loss(f"return {CROSS}.item()"), "fault", "is a float", ".item()"),
    (loss(f"return {CROSS.replace('inputs)', 'inputs).detach()')}"), "fault", "no gradient", "does not depend"),
    (loss(*NO_EVENTS), "warning", "one label cannot train", "no gradient"),
    (COUNTING, "fault", "two updates", "seeded"),
    ({"names": GOOD["names"] + MUTATING}, "fault", "read-only", "in train"),
    (changed("load", '.astype("int64")', '.astype("float64")'), "fault", "RuntimeError", "in loss"),
    (changed("load", "self.inputs(table)", RAW), "fault", "values that are not finite", "fill in"),
    (changed("load", "self.inputs(table)", 'table["patient"][:, None]'), "fault", "inputs are object", "numbers only"),
    (changed("load", IS_TEST, "np.random.default_rng().random() < 0.3"), "fault", "the patients differ", "is_test"),
    (changed("load", "share=0.3", "share=0.0"), "warning", "no test patients", ""),
    (load("return source.table(self.contract, 'a.csv')"), "fault", "returned a dict", "in load"),
    (load("return source.table(self.contract, 'a.csv')['x']"), "fault", "KeyError: 'x'", "in load"),
    (AUC, "fault", "'AUC' is no id", "small letters"),
    (measure("return {'precision': 1.0}"), "fault", "does not give accuracy", "in measure"),
    (NAN_METRIC, "fault", "accuracy is not finite", "leave a metric out"),
    (measure("return {'accuracy': outputs}"), "fault", "accuracy is a ndarray", "in measure"),
    (measure("return 0.5"), "fault", "measure returned a float", "in measure"),
    (inputs('return table["ill"]'), "fault", "KeyError: 'ill'", "in inputs"),
    (inputs(*MEAN), "fault", "depend on the other rows", "constants"),
    ({"inputs": SCALED} | changed("load", "self.inputs", "self.prepared"), "warning", "cannot predict", "inputs"),
    (changed("names", ", label=True", ""), "warning", "no column is marked as the label", "label=True"),
    ({"head": "import no_such_library\n" + HEAD}, "fault", "no_such_library", "lacks"),
    ({"head": HEAD.replace("class Ward", "class Ward[")}, "fault", "SyntaxError", ""),
]


def tried(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["task", "test", *words])
    return code, capsys.readouterr().out


def test_a_good_task_is_well_on_invented_patients(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = tried(capsys, str(study(tmp_path)))
    assert code == 0
    assert "0 faults, 0 warnings on invented patients" in said
    assert "a round in" in said


@pytest.mark.parametrize(("parts", "level", "said", "more"), BROKEN, ids=[one[2] for one in BROKEN])
def test_a_broken_task_is_told_with_where_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], parts: dict[str, str], level: str, said: str, more: str
) -> None:
    code, out = tried(capsys, str(study(tmp_path, **parts)), "--json")
    found = json.loads(out)["findings"]
    told = [one for one in found if one["level"] == level and said in one["said"]]
    assert told, out
    assert any(more in f"{one['said']} {one['todo']}" for one in told), told
    assert code == (1 if any(one["level"] == "fault" for one in found) else 0)
    assert "Traceback" not in out


def test_with_patients_of_the_authors_own_no_value_of_theirs_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = tmp_path / "tables"
    tables.mkdir()
    (tables / "site-1.csv").write_text(
        "patient,age,sex,ill\n" + "".join(f"Muell{n},{40 + n}.25,F,{n % 2}\n" for n in range(20))
    )
    careless = GOOD["load"].replace("    patients =", "    float(table['patient'][0])\n    patients =")
    folder = study(tmp_path, load=careless)
    code, said = tried(capsys, str(folder), "--data", str(tables), "--site", "site-1")
    assert code == 1
    assert "ValueError (task.py, line" in said
    assert "Muell" not in said
    code, said = tried(capsys, str(study(tmp_path)), "--data", str(tables), "--site", "site-1")
    assert code == 0
    assert "training and" in said


def test_a_task_that_reads_other_files_than_tables_is_not_blamed_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = load("return np.load(source.path('images.npy'))")
    code, said = tried(capsys, str(study(tmp_path, **images)))
    assert code == 0
    assert "invented patients were not taken" in said
    assert "--data" in said


def test_without_a_plan_the_authors_tables_say_which_sites_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "tables"
    data.mkdir()
    for name in ("nord.csv", "sued.csv"):
        (data / name).write_text("nothing\n1\n")
    assert main(["task", "test", str(study(tmp_path)), "--data", str(data)]) == 1
    out = capsys.readouterr().out
    assert "load nord" in out
    assert "load sued" in out
    assert "site-1" not in out


def test_what_is_no_study_ends_with_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["task", "test", str(tmp_path / "nothing")]) == 2
    assert main(["task", "test", str(study(tmp_path)), "--data", str(tmp_path / "none")]) == 2
    assert main(["task", "test", str(study(tmp_path)), "--option", "delimiter"]) == 2
    assert "hint" in capsys.readouterr().err


def test_a_plan_of_a_task_with_a_fault_is_not_signed_unless_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["registrar", "keys", "--out", str(tmp_path / "keys")]) == 0
    for parts, signed in (({}, 0), (measure("return {}"), 2)):
        folder = study(tmp_path, **parts)
        plan = tmp_path / f"{folder.name}.toml"
        words = ["--site", "a", "--site", "b", "--site", "c", "--study", "ward", "--out", str(plan)]
        look_in(tmp_path)
        assert main(["plan", "init", f"{folder.name}.task:task", *words]) == 0
        sign = ["plan", "sign", str(plan), "--key", str(tmp_path / "keys" / "registrar.sign"), "--out", str(tmp_path)]
        assert main(sign) == signed
        if signed:
            assert "would fail at hospitals: judge a: measure does not give accuracy" in capsys.readouterr().err
            assert main([*sign, "--untried"]) == 0


def test_invented_patients_keep_the_contract_and_show_every_value_it_names() -> None:
    contract = DataContract(
        (
            Column("id", "text"),
            Column("age", "integer", 18.5, 20.5),
            Column("grade", values=(1, 2, 3)),
            Column("ward", "category", values=("A", "B"), missing=True),
            Column("dose", low=0),
            Column("change"),
        ),
        rows_min=50,
    )
    table = invented_table(contract)
    contract.check(table, where="invented")
    assert len(table["id"]) == 50
    assert set(table["age"]) == {19.0, 20.0}
    assert set(table["grade"]) == {1.0, 2.0, 3.0}
    assert {0.0, 1.0} <= set(table["ward"])


def test_plan_commands_tell_a_model_that_cannot_be_made_by_the_authors_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, broken = study(tmp_path), study(tmp_path, **model("return nn.Linear(2)"))
    look_in(tmp_path)
    assert main(["plan", "init", f"{broken.name}.task:task"]) == 2
    assert "task.py, line 23, in model" in capsys.readouterr().err
    assert main(["plan", "init", f"{good.name}.task:task", "--out", str(good / "plan.toml")]) == 0
    plan = (good / "plan.toml").read_text().replace(good.name, broken.name)
    (broken / "plan.toml").write_text(plan)
    assert main(["plan", "check", str(broken / "plan.toml")]) == 2
    assert "task.py, line 23, in model" in capsys.readouterr().err


def test_version_0_that_is_not_finite_is_neither_checked_nor_signed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = study(tmp_path, **model(*NAN_BIAS))
    look_in(tmp_path)
    assert main(["plan", "init", f"{broken.name}.task:task", "--out", str(broken / "plan.toml")]) == 0
    assert main(["plan", "check", str(broken / "plan.toml")]) == 2
    assert "version 0 holds 2 of 6 parameters that are not finite" in capsys.readouterr().err
