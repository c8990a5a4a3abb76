"""`wardround participant pause|resume|leave|ledger|forget`: what an operator types, and what he reads."""

import json
from pathlib import Path

import pytest

from participant.core.stage import Fate
from participant.shell.control import SiteState, StudyState, read_wish, write_state
from participant.shell.store import Decision, Left, Row, Store
from runtime.lock import FolderLock
from wardround.cli import main

CLOCK_S = 1_700_000_000.0
FIRST = int(CLOCK_S) << 20


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings of a participant that ran once and has one study."""
    path, data = tmp_path / "participant.toml", tmp_path / "data"
    path.write_text(
        'name = "site-1"\ndata_dir = "data"\n[kafka]\nbootstrap = "127.0.0.1:1"\n'
        '[keys]\nsigning = "a"\nopening = "b"\nregistrar = "c"\n'
    )
    data.mkdir()
    Store(data, "site-1").close()
    write_state(data, SiteState(1, 0, studies=(StudyState("lung", "training"),)))
    return path


@pytest.fixture
def store(config: Path) -> Store:
    return Store(config.parent / "data", "site-1", clock=lambda: CLOCK_S)


def put(store: Store, sequence: int, base_version: int = 3) -> Row:
    store.sequence_next("lung")
    row = Row("lung", sequence, base_version, b"header", b"s" * 64, b"k" * 32, b"d" * 64, 700_000)
    store.put(row, Left("lung", b"p" * 32, "update", 700_000, sequence, base_version))
    return row


def test_a_pause_without_a_running_service_is_kept_for_its_start(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["participant", "pause", "lung", "--config", str(config)]) == 0
    assert "lung will be paused when the service starts: none is running" in capsys.readouterr().out
    assert read_wish(config.parent / "data").pauses("lung")


def test_how_things_stood_before_an_order_is_not_told_as_what_came_of_it(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_state(config.parent / "data", SiteState(1, 0, studies=(StudyState("lung", "paused", "leaving"),)))
    assert main(["participant", "resume", "--config", str(config)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "every study will go on when the service starts: none is running",
        "how it stood when the service told last:",
        "  lung: paused (leaving)",
    ]


def test_settings_may_be_named_before_the_order_too(config: Path) -> None:
    assert main(["participant", "--config", str(config), "leave"]) == 0
    assert read_wish(config.parent / "data").leaving


def test_an_order_tells_a_script_what_it_needs(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["participant", "resume", "--json", "--config", str(config)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["serial"], said["running"], said["taken"]) == (1, False, False)
    assert [study["study"] for study in said["studies"]] == ["lung"]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["pause", "lungs"], "no study lungs"),
        (["pause"], "no participant is named"),
        (["ledger", "--config", "nowhere.toml"], "no such settings file"),
    ],
)
def test_a_wrong_order_is_one_clear_error(
    config: Path, words: list[str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [] if words == ["pause"] or "--config" in words else ["--config", str(config)]
    assert main(["participant", *words, *named]) == 2
    error = capsys.readouterr().err
    assert what in error
    assert "hint:" in error


def test_an_order_unknown_is_refused(config: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["participant", "stop", "--config", str(config)])
    assert ended.value.code == 2


def test_the_ledger_says_what_left_and_what_became_of_it(
    config: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    decisions = [
        Decision(Fate.COUNTED, None, 4, 11),
        Decision(Fate.REFUSED, "stale"),
        Decision(Fate.STALE),
        Decision(Fate.VOID, "range"),
    ]
    for number, decision in enumerate(decisions):
        row = put(store, FIRST + number)
        if decision.fate is not Fate.STALE:
            store.note_offered(row, number)
        store.note_settled(row, config.parent / "body", decision, again=False)
    store.note_offered(put(store, FIRST + 8), 9)
    put(store, FIRST + 9)
    store.note_left(Left("lung", b"", "evaluation", 300))
    store.flush()
    assert main(["participant", "ledger", "--config", str(config)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" kB", 1)[1].strip() for line in lines[1:7]] == [
        "counted in version 4, weight 11/16",
        "refused (stale)",
        "given up, never offered: too old",
        "void (range)",
        "offered, waits for its receipt",
        "in the outbox, not sent yet",
    ]
    assert lines[7].startswith("evaluation of lung: 1 messages, 300 B")


def test_the_ledger_is_read_by_a_script_too_and_of_one_study(
    config: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    put(store, FIRST)
    assert main(["participant", "ledger", "lung", "--json", "--config", str(config)]) == 0
    update = json.loads(capsys.readouterr().out)["updates"][0]
    assert (update["sequence"], update["base_version"], update["outcome"]) == (FIRST, 3, "waiting")
    assert main(["participant", "ledger", "heart", "--config", str(config)]) == 0
    assert "no update has been finished here" in capsys.readouterr().out


def test_what_a_log_said_that_begins_anew_is_forgotten_and_what_was_given_up_is_named(
    config: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    put(store, FIRST)
    body = config.parent / "data" / "outbox" / f"lung.{FIRST}"
    body.parent.mkdir()
    body.touch()
    store.close()
    assert main(["participant", "forget", "lung", "--config", str(config)]) == 0
    assert f"given up, not decided: update lung/site-1/{FIRST}" in capsys.readouterr().out
    assert not body.exists()
    assert main(["participant", "ledger", "--config", str(config)]) == 0
    assert "given up: the study was begun anew" in capsys.readouterr().out
    assert main(["participant", "forget", "lung", "--json", "--config", str(config)]) == 0
    assert json.loads(capsys.readouterr().out) == {"study": "lung", "given_up": []}


def test_nothing_is_forgotten_under_a_service_that_runs_or_of_a_study_that_is_not_known(
    config: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.note_seen("lung", 3, b"d" * 32)
    put(store, FIRST)
    store.close()
    assert main(["participant", "forget", "heart", "--config", str(config)]) == 2
    assert "knows nothing of a study heart" in capsys.readouterr().err
    with FolderLock(config.parent / "data"):
        assert main(["participant", "forget", "lung", "--config", str(config)]) == 2
    assert "stop the other one first" in capsys.readouterr().err
    assert Store(config.parent / "data", "site-1").restored("lung").record == 3


def test_a_ledger_is_read_while_nothing_runs_and_changes_nothing(config: Path, store: Store) -> None:
    put(store, FIRST)
    store.close()
    before = (config.parent / "data" / "site.db").read_bytes()
    assert main(["participant", "ledger", "--config", str(config)]) == 0
    assert (config.parent / "data" / "site.db").read_bytes() == before
