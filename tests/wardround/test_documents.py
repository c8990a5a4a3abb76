"""What the documentation shows can be typed as it stands."""

import ast
import builtins
import re
from pathlib import Path

import pytest

from rehearsal import comparing
from runtime.child import ROOT
from wardround import cli

FENCED = re.compile(r"^( *)```python\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def snippets(path: Path) -> list[str]:
    """The Python of a document, without the indentation of the list it stands in."""
    found = FENCED.findall(path.read_text())
    return ["\n".join(line.removeprefix(indent) for line in text.splitlines()) for indent, text in found]


def unknown(code: str) -> set[str]:
    """Names that are read and neither built in nor bound anywhere in the code."""
    tree = ast.parse(code)
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = {name.id for name in names if isinstance(name.ctx, ast.Store)} | set(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(one.asname or one.name).split(".")[0] for one in node.names}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
    return {name.id for name in names} - bound


@pytest.mark.parametrize("name", ["README.md", "docs/by-hand.md", "studies/README.md"])
def test_python_in_a_document_imports_all_it_uses(name: str) -> None:
    shown = snippets(ROOT / name)
    assert shown
    assert [unknown(code) for code in shown] == [set()] * len(shown)


def test_a_folder_of_private_keys_in_a_checkout_is_ignored_by_git() -> None:
    ignored = (ROOT / ".gitignore").read_text().split()
    assert {"/keys/", "*.sign", "*.open"} <= set(ignored)


def test_the_study_that_the_readme_shows_can_be_planned_checked_and_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (task,) = snippets(ROOT / "studies" / "README.md")
    folder, data, plan = tmp_path / "shown" / "ward", tmp_path / "data", tmp_path / "plan.toml"
    folder.mkdir(parents=True)
    data.mkdir()
    for package in (folder.parent, folder):
        (package / "__init__.py").touch()
    (folder / "task.py").write_text(task)
    for site in (1, 2, 3):
        rows = [f"{100 * site + n},{20 + n},{int(n % 7 > site)}" for n in range(60)]
        (data / f"site-{site}.csv").write_text("\n".join(["patient,age,ill", *rows]))
    monkeypatch.syspath_prepend(tmp_path)
    sites = [word for site in (1, 2, 3) for word in ("--site", f"site-{site}")]
    assert cli.main(["plan", "init", "shown.ward.task:task", *sites, "--out", str(plan)]) == 0
    assert cli.main(["plan", "check", str(plan)]) == 0
    assert cli.main(["simulate", str(plan), "--learn", "--data", str(data)]) == 0
    capsys.readouterr()
    assert cli.main(["compare", str(plan), "--splits", "2", "--versions", "3", "--data", str(data)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"0: alone 0\.\d{4}, federated 0\.\d{4}, pooled 0\.\d{4}, longest update \d+\.\d{3}", lines[0])
    task_here = comparing.read_study(plan)
    assert len({loaded.train.inputs.tobytes() for loaded in task_here.load(data)}) == 3
