"""`wardround status`: what stands on the log in words, and nothing that could do harm to whoever follows the words."""

from pathlib import Path

import pytest

from protocol.signing import SigningKey
from schemas import topics
from schemas.errors import LocalError
from schemas.records import Action, Command, Roster
from tests.wardround.synthetic import STUDY, history
from transport.entry import Entry
from wardround.cli import main
from wardround.commands.status import study_lines
from wardround.federation import Federation
from wardround.history import Commanded, StudyHistory
from wardround.operator import check_reason

NOW_MS = 1_900_000_000_000


def commanded(*given: tuple[Action, str | None, str]) -> StudyHistory:
    """A study with these commands, one an hour, the last one an hour ago."""
    found = history()
    for serial, (action, site, reason) in enumerate(given, start=1):
        command = Command(STUDY, serial, action, site, None, reason)
        found.commands.append(Commanded(NOW_MS - 3_600_000 * (len(given) + 1 - serial), "boss", command))
    return found


@pytest.mark.parametrize("topic", [topics.rounds(STUDY), topics.receipts(STUDY), topics.commands(STUDY)])
def test_nobody_is_sent_to_make_a_topic_anew_whose_content_is_needed(topic: str) -> None:
    found = history()
    found.missing = (topic,)
    [told] = [line for line in study_lines(found, NOW_MS) if "missing" in line]
    assert f"the study's topic {topic}; do not make it again while a replica or a backup may have it" in told
    assert "ask whoever looks after Kafka" in told


def test_each_excluded_site_is_told_with_its_reason() -> None:
    one, two, three = sorted(history().sites)[:3]
    found = commanded(
        (Action.EXCLUDE, one, "old"), (Action.INCLUDE, one, "mended"), (Action.EXCLUDE, one, "scanner replaced"),
        (Action.EXCLUDE, two, "under review"), (Action.EXCLUDE, three, "x"), (Action.INCLUDE, three, "mended"),
    )  # fmt: skip
    told = [line.strip() for line in study_lines(found, NOW_MS) if "excluded" in line]
    assert told == [
        f"excluded: {one} by boss 4 hours ago (scanner replaced)",
        f"excluded: {two} by boss 3 hours ago (under review)",
    ]


def test_a_reason_on_the_log_does_not_steer_the_terminal() -> None:
    told = study_lines(commanded((Action.PAUSE, None, "now\x1b[2J\nexcluded: all\u202e")), NOW_MS)[-1]
    assert told.endswith("last command: pause by boss 60 minutes ago (now\\x1b[2J\\nexcluded: all\\u202e)")


def test_no_reason_is_shown_as_none() -> None:
    assert study_lines(commanded((Action.PAUSE, None, "")), NOW_MS)[-1].endswith(" ago")


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("", "the reason is empty"),
        (" \t", "the reason is empty"),
        ("moved\non Sunday", r"holds \\n, which is no text"),
        ("\x1b[2J", r"holds \\x1b, which is no text"),
        ("ü" * 101, "the reason has 202 bytes, at most 200 fit"),
    ],
)
def test_a_reason_that_nobody_could_read_is_refused(reason: str, said: str) -> None:
    with pytest.raises(LocalError, match=said) as caught:
        check_reason(reason)
    assert "200" not in caught.value.hint


def test_a_reason_of_200_bytes_in_any_language_is_taken() -> None:
    check_reason("ü" * 99 + "\u00a0")


def test_a_log_of_another_registrar_alone_is_said_and_not_taken_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other, mine = SigningKey.generate(), SigningKey.generate()
    (tmp_path / "registrar.pub").write_bytes(mine.public)

    async def read(self: Federation, names: object) -> list[Entry]:
        return entries

    def roster(key: SigningKey) -> Entry:
        return Entry(topics.MEMBERS, 0, 0, topics.ROSTER_KEY, key.sign(Roster(1, ())).to_bytes())

    monkeypatch.setattr(Federation, "_read", read)
    words = ["status", "--registrar", str(tmp_path / "registrar.pub"), "--broker", "127.0.0.1:1"]
    entries = [roster(other)]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert "the log at 127.0.0.1:1 belongs to another registrar" in told
    assert "--registrar" in told
    for there in ([roster(other), roster(mine)], []):
        entries[:] = there
        assert main(words) == 0
        assert capsys.readouterr().out == "no study is published yet\n"
