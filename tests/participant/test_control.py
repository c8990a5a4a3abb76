"""What an operator wants and how a site stands: files that survive, and files that are not what they should be."""

import errno
import json
import os
import threading
import time
from pathlib import Path

import pytest

from participant.orders import Answer, leave, order, pause, resume
from participant.shell.control import STATE, WISH, SiteState, StudyState, Wish, read_wish, write_state
from runtime.disk import FREE_SPACE
from runtime.lock import FolderLock
from schemas.errors import LocalError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder whose service ran once, with two studies."""
    (tmp_path / "site.db").touch()
    studies = (StudyState("heart", "idle"), StudyState("lung", "training"))
    write_state(tmp_path, SiteState(1, 0, studies=studies))
    return tmp_path


def test_an_order_waits_in_the_folder_for_a_service_that_does_not_run(folder: Path) -> None:
    answer = order(folder, pause, "lung")
    assert (answer.running, answer.taken) == (False, False)
    assert read_wish(folder) == Wish(1, studies=("lung",))
    assert (folder / WISH).stat().st_mode & 0o077 == 0


def test_a_study_is_paused_and_goes_on_by_itself(folder: Path) -> None:
    order(folder, pause, "lung")
    order(folder, pause, "heart")
    order(folder, resume, "lung")
    wish = read_wish(folder)
    assert wish.pauses("heart")
    assert not wish.pauses("lung")
    order(folder, resume)
    assert read_wish(folder) == Wish(4)


def test_a_pause_of_everything_holds_for_studies_to_come_too(folder: Path) -> None:
    order(folder, pause)
    assert read_wish(folder).pauses("one-that-comes-later")
    with pytest.raises(LocalError, match="whole site is paused"):
        order(folder, resume, "lung")


def test_who_leaves_is_taken_back_by_resume(folder: Path) -> None:
    order(folder, leave)
    assert read_wish(folder).leaving
    with pytest.raises(LocalError, match="is leaving"):
        order(folder, resume, "lung")
    order(folder, resume)
    assert not read_wish(folder).leaving


def test_a_study_that_nobody_knows_is_refused_and_changes_nothing(folder: Path) -> None:
    with pytest.raises(LocalError, match="no study lungs") as refused:
        order(folder, pause, "lungs")
    assert "heart, lung" in refused.value.hint
    assert read_wish(folder) == Wish()


def test_a_folder_that_is_no_participants_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="no data folder of a participant"):
        order(tmp_path, pause)
    assert list(tmp_path.iterdir()) == []


def test_a_running_service_that_does_not_answer_is_told_apart_from_one_that_is_not_there(folder: Path) -> None:
    with FolderLock(folder):
        answer = order(folder, pause, answer_s=0.2)
    assert (answer.running, answer.taken) == (True, False)
    assert not order(folder, pause, answer_s=0.2).running


def test_an_order_is_answered_when_the_service_has_taken_it(folder: Path) -> None:
    answers: list[Answer] = []
    with FolderLock(folder):
        asking = threading.Thread(target=lambda: answers.append(order(folder, pause, answer_s=30)))
        asking.start()
        while read_wish(folder).serial == 0:
            time.sleep(0.01)
        write_state(folder, SiteState(os.getpid(), read_wish(folder).serial))
        asking.join()
    assert answers[0].taken


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"studies": 3}', '{"studies": [], "serial": "1"}', '{"a": 1}'])
def test_a_wish_that_is_none_is_refused_with_what_to_do(folder: Path, text: str) -> None:
    (folder / WISH).write_text(text)
    with pytest.raises(LocalError, match=r"wish\.json") as refused:
        read_wish(folder)
    assert refused.value.hint


def test_an_order_for_which_the_disk_has_no_room_names_the_path_and_asks_for_space(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(LocalError, match=f"{folder}: No space left on device") as refused:
        order(folder, pause)
    assert refused.value.hint == FREE_SPACE


def test_an_order_that_cannot_be_written_whole_leaves_the_one_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order(folder, pause, "lung")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(LocalError, match="No space"):
        order(folder, leave)
    assert read_wish(folder) == Wish(1, studies=("lung",))


LUNG = {"study": "lung", "state": "idle"}


@pytest.mark.parametrize(
    "values",
    [
        {"pid": 1, "serial": 0, "studies": [{"name": "lung"}]},
        {"pid": 1, "serial": "0", "studies": [LUNG]},
        {"pid": 1, "serial": 0, "studies": [LUNG | {"undecided": "none"}]},
        {"pid": 1, "serial": 0, "studies": [3]},
    ],
)
def test_a_state_of_another_software_is_refused(folder: Path, values: dict[str, object]) -> None:
    (folder / STATE).write_text(json.dumps(values))
    with pytest.raises(LocalError, match=r"state\.json"):
        order(folder, pause, "lung")
