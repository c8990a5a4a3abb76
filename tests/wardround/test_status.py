"""`wardround status`: what stands on the log in words, and nothing that could do harm to whoever follows the words."""

from collections.abc import Callable
from pathlib import Path

import pytest

from audit.history import Commanded, Decision, StudyHistory
from audit.reading import FederationReader
from protocol.signing import SigningKey
from registry.commands import check_reason
from schemas import topics
from schemas.errors import LocalError
from schemas.records import Action, Command, Outcome, Roster
from tests.wardround.synthetic import STUDY, history
from transport.reading.entry import Entry
from wardround.cli import main
from wardround.commands.status import study_lines, study_values

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
    assert told.endswith("last command: pause by boss 60 minutes ago (now\\x1b[2J excluded: all\\u202e)")


def test_no_reason_is_shown_as_none() -> None:
    assert study_lines(commanded((Action.PAUSE, None, "")), NOW_MS)[-1].endswith(" ago")


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("", "the reason is empty"),
        (" \t", "the reason is empty"),
        ("moved\non Sunday", r"holds '\\n', which is no text"),
        ("\x1b[2J", r"holds '\\x1b', which is no text"),
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

    async def read(self: FederationReader, names: object, take: Callable[[Entry], object], start: object) -> None:
        for entry in entries:
            take(entry)

    def roster(key: SigningKey) -> Entry:
        return Entry(topics.MEMBERS, 0, 0, topics.ROSTER_KEY, key.sign(Roster(1, ())).to_bytes())

    monkeypatch.setattr(FederationReader, "_read", read)
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


def _row(found: StudyHistory, site: str) -> str:
    return next(line for line in study_lines(found, NOW_MS) if line.startswith(f"  {site} "))


def test_a_site_that_is_not_enrolled_one_that_did_not_start_and_one_that_is_away_are_told_apart() -> None:
    found = history()
    found.final = False
    away, silent, gone = sorted(found.sites)[:3]
    found.sites[silent].seen_ms.clear()
    found.sites[gone].enrolled = False
    told = "\n".join(study_lines(found, NOW_MS))
    assert " away " in _row(found, away)
    assert " not started " in _row(found, silent)
    assert " not enrolled " in _row(found, gone)
    assert f"not started: {silent}; the hospital starts `wardround participant`" in told
    assert f'plan = "{found.plan_digest.hex()}"' in told
    values = {site["site"]: site["state"] for site in study_values(found, NOW_MS)["sites"]}
    assert (values[away], values[silent], values[gone]) == ("away", "not-started", "not-enrolled")


def test_sites_that_the_plan_expects_and_no_roster_lists_are_told_while_the_study_runs() -> None:
    found = history()
    found.final = False
    for site in list(found.sites)[1:]:
        found.sites[site].enrolled = False
    [told] = [line for line in study_lines(found, NOW_MS) if "enrolled:" in line]
    assert f"enrolled: 1 of the {found.plan.sites_expected} sites that the plan expects" in told
    found.final = True
    assert not [line for line in study_lines(found, NOW_MS) if "enrolled:" in line or "not started:" in line]


def test_an_update_that_came_after_the_end_is_no_error_and_nobody_is_behind_an_ended_study() -> None:
    found = history()
    name = next(name for name in sorted(found.sites) if found.sites[name].offers)
    newest = max(found.sites[name].offers, default=0) + 1
    found.sites[name].decisions[newest] = Decision(Outcome.REFUSED, "final", None, 0, NOW_MS)
    found.final = True
    row = _row(found, name)
    assert "not needed: came after the end" in row
    assert "refused" not in row
    told = "\n".join(study_lines(found, NOW_MS))
    assert "1 came after the end" in told
    assert "final" not in told
    behind = study_lines(found, NOW_MS)[1].index("behind")
    assert row[behind : behind + 1] == "–"


def test_a_topic_that_this_client_may_not_read_is_not_called_missing() -> None:
    found = history()
    found.missing = found.forbidden = (topics.offers(sorted(found.sites)[0]),)
    told = "\n".join(study_lines(found, NOW_MS))
    assert f"not allowed: this client may not read {found.forbidden[0]}" in told
    assert "missing" not in told
    values = study_values(found, NOW_MS)
    assert (values["topics_missing"], values["topics_forbidden"]) == ([], list(found.forbidden))
