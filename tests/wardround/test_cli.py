"""The command: exit codes, one clear line for a mistake, nothing imported that was not asked for."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ops.kafka import install
from protocol.sealing import OpenKey
from protocol.signing import SigningKey
from registry.plans.forms import PLAN_FORM
from runtime.service import report
from runtime.units import human_bytes, human_time
from schemas.errors import LocalError
from transport.admin import COMMAND_S
from wardround.cli import COMMANDS, main
from wardround.commands import options
from wardround.commands.options import size_bytes

ROOT = Path(__file__).parents[2]
_NOBODY = "the broker does not run, or has another port"
PLAN = ROOT / "studies" / "lung" / "plan.toml"


def test_every_command_explains_itself_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        text = capsys.readouterr().out
        assert "example:" in text
        assert f"wardround {name}" in text


def test_help_lists_every_command_and_no_command_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert all(f"\n  {name} " in listed for name in COMMANDS)
    assert main([]) == 2


def test_a_misspelt_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["registar"]) == 2
    assert "did you mean `wardround registrar`?" in capsys.readouterr().err


def test_a_missing_settings_file_ends_with_code_2_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for service in ("coordinator", "participant"):
        assert main([service, "--config", str(tmp_path / "none.toml")]) == 2
        words = capsys.readouterr().err
        assert "no such settings file" in words
        assert "Traceback" not in words


def test_a_broker_that_is_not_there_ends_with_code_3(
    tmp_path: Path, free_loopback_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert COMMAND_S == 10.0
    for module in ("registrar", "topic_maker"):
        monkeypatch.setattr(f"registry.{module}.COMMAND_S", 2.0)
    assert main(["registrar", "keys", "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    key, broker = str(tmp_path / "registrar.sign"), f"127.0.0.1:{free_loopback_port}"
    assert main(["registrar", "roster", "--key", key, "--broker", broker]) == 3
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"error: broker {broker} not reached: nobody listens at {broker}: {_NOBODY}\n"


def test_a_command_for_a_script_prints_nothing_but_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def started(folder: Path, **_: object) -> SimpleNamespace:
        install._log.warning("no cache of Kafka's classes")
        return SimpleNamespace(bootstrap="127.0.0.1:9092", pid=1)

    monkeypatch.setattr("ops.kafka.ensure", lambda progress: None)
    monkeypatch.setattr("ops.kafka.Broker.start", started)
    assert main(["kafka", "up", "--json", "--folder", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["bootstrap"] == "127.0.0.1:9092"
    assert told.err == "warning: no cache of Kafka's classes\n"


@pytest.mark.parametrize("port", ["0", "-1", "65536", "99999"])
def test_a_port_that_is_none_starts_no_broker(port: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kafka", "up", "--folder", str(tmp_path / "k"), "--port", port]) == 2
    assert f"--port {port} is not within 1..65535" in capsys.readouterr().err
    assert not (tmp_path / "k").exists()


def test_a_broker_that_runs_on_another_port_than_asked_for_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running = SimpleNamespace(bootstrap="127.0.0.1:9092", port=9092, pid=1, is_running=lambda: True)
    monkeypatch.setattr("ops.kafka.Broker.find", lambda folder: running)
    up = ["kafka", "up", "--folder", str(tmp_path)]
    assert main([*up, "--port", "9093"]) == 2
    told = capsys.readouterr().err
    assert "runs already, on port 9092 instead of 9093" in told
    assert f"--broker 127.0.0.1:9092; or stop it (`wardround kafka down --folder {tmp_path}`)" in told
    assert (main([*up, "--port", "9092"]), main(up)) == (0, 0)


@pytest.mark.parametrize(
    "words",
    [
        ["keys", "new", "clinic", "--out", "keys"],
        ["registrar", "keys", "--out", "keys"],
        ["plan", "check", str(PLAN)],
        ["simulate", str(PLAN), "--versions", "2", "--parameters", "7"],
        ["kafka", "down", "--folder", "none"],
    ],
)
def test_a_command_without_a_broker_says_nothing_beside_its_answer(words: list[str], tmp_path: Path) -> None:
    line = [sys.executable, "-m", "wardround", *words, "--json"]
    done = subprocess.run(
        line, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    json.loads(done.stdout)


def test_the_module_runs_as_the_command_does_and_hands_its_code_on() -> None:
    done = subprocess.run([sys.executable, "-m", "wardround", "registar"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "did you mean" in done.stderr


def test_an_address_that_is_none_ends_with_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["registrar", "keys", "--out", str(tmp_path)])
    assert main(["registrar", "roster", "--key", str(tmp_path / "registrar.sign"), "--broker", "nowhere"]) == 2
    assert "is no broker address" in capsys.readouterr().err


def test_keys_are_private_and_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "new", "clinic-north", "--out", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "clinic-north"
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes["clinic-north.sign"] == modes["clinic-north.open"] == 0o600
    before = (tmp_path / "clinic-north.sign").read_bytes()
    assert main(["keys", "new", "clinic-north", "--out", str(tmp_path)]) == 2
    assert (tmp_path / "clinic-north.sign").read_bytes() == before


def test_rotated_keys_leave_the_former_ones_beside_and_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["keys", "rotate", "clinic-north", "--out", str(tmp_path)]
    assert main(line) == 2
    assert "wardround keys new" in capsys.readouterr().err
    main(["keys", "new", "clinic-north", "--out", str(tmp_path), "--json"])
    former = json.loads(capsys.readouterr().out)["fingerprint"]
    ids = (
        SigningKey.load(tmp_path / "clinic-north.sign").key_id,
        OpenKey.load(tmp_path / "clinic-north.open").key_id,
    )
    assert main([*line, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["fingerprint"] != former
    beside = [f"clinic-north.{kind}.{key_id.hex()[:8]}" for kind, key_id in zip(("sign", "open"), ids, strict=True)]
    assert told["retired"] == [str(tmp_path / name) for name in beside]
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "wardround registrar approve clinic-north.pub" in said


def test_a_name_that_is_no_id_makes_no_keys(tmp_path: Path) -> None:
    assert main(["keys", "new", "Clinic North", "--out", str(tmp_path)]) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_request_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["registrar", "keys", "--out", str(tmp_path)])
    (tmp_path / "x.pub").write_bytes(b"\x93\x01\x02\x03")
    assert main(["registrar", "approve", str(tmp_path / "x.pub"), "--key", str(tmp_path / "registrar.sign")]) == 2
    assert "is no request" in capsys.readouterr().err


def test_an_interrupted_command_ends_with_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("wardround.commands.keys.run", interrupted)
    assert main(["keys", "new", "a"]) == 130


def test_help_is_wrapped_and_a_summary_is_a_whole_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for order in ("pause", "resume", "leave", "forget"):
        with pytest.raises(SystemExit):
            main(["participant", order, "--help"])
        assert max(len(line) for line in capsys.readouterr().out.splitlines()) <= 80
    with pytest.raises(SystemExit):
        main(["plan", "--help"])
    assert "version 0 and write STUDY.plan and STUDY.initial" in " ".join(capsys.readouterr().out.split())


def test_a_report_that_could_not_be_written_is_refused_before_the_log_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file" / "lung.html"):
        assert main(["report", "lung", "--out", str(place), "--broker", "127.0.0.1:1"]) == 2
        assert f"{place} cannot be written" in capsys.readouterr().err


def test_a_command_interrupted_while_it_is_imported_ends_quietly(tmp_path: Path) -> None:
    (tmp_path / "difflib.py").write_text("raise KeyboardInterrupt\n")  # the command's first import of its own
    done = subprocess.run(
        [sys.executable, "-m", "wardround", "status"], cwd=ROOT, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_starting_a_service_imports_neither_torch_nor_what_people_look_at() -> None:
    """Both in one process: what neither has loaded after both, none loads alone."""
    words = (
        "import sys; from wardround.cli import main\n"
        "for service in ('coordinator', 'participant'): main([service, '--config', '/none'])\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", words], capture_output=True, text=True, timeout=60, check=True, env=dict(os.environ)
    )
    loaded = set(done.stdout.split())
    assert {"coordinator.app", "participant.app"} <= loaded
    shown = {"rich.live", "matplotlib", "jinja2", "audit.federation", "ops"}
    assert loaded.isdisjoint({"torch", "sklearn", "pandas", *shown})


def test_sizes_and_times_are_said_as_people_say_them() -> None:
    assert [human_bytes(size) for size in (12, 1500, 5e9)] == ["12 B", "1.5 kB", "5.0 GB"]
    assert [human_time(seconds) for seconds in (1, 600, 5400, 7 * 86400)] == [
        "1 seconds",
        "10 minutes",
        "1.5 hours",
        "7 days",
    ]
    assert size_bytes("20GB") == 20 * 2**30


def test_a_size_cap_that_is_no_size_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["keys", "new", "a", "--out", str(tmp_path)])
    main(["registrar", "keys", "--out", str(tmp_path)])
    own = ["--key", str(tmp_path / "registrar.sign"), "--broker", "127.0.0.1:1"]
    assert main(["registrar", "approve", str(tmp_path / "a.pub"), "--size-cap", "lots", *own]) == 2
    assert "write for example 500MB" in capsys.readouterr().err


def test_the_sections_of_a_plan_are_the_ones_the_template_shows() -> None:
    from registry.plans.template import plan_template

    text = plan_template(
        study="s", entry="a.b:c", sites=["x"], parameters=1, metric="m", weight="n", higher_is_better=True
    )
    shown = [line[1:].split("]")[0] for line in text.splitlines() if line.startswith("[")]
    assert sorted(shown) == sorted([*PLAN_FORM.sections, "task.options"])


def test_what_a_command_prints_of_somebody_else_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    options.emit(argparse.Namespace(json=False), {}, ["study   \x1b[2Jlung", "title   \u202egnul"])
    assert capsys.readouterr().out == "study   \\x1b[2Jlung\ntitle   \\u202egnul\n"
    assert report(LocalError("a \x1b[2J", hint="b \x9b")) == 2
    assert capsys.readouterr().err == "error: a \\x1b[2J\nhint:  b \\x9b\n"
