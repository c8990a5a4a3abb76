"""The report says what the log shows, loads nothing from elsewhere, and copes with studies that have little to show."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from audit.history import Commanded, StudyHistory, Told
from runtime.units import human_bytes, human_seconds
from schemas.errors import LocalError
from schemas.records import Action, Command, OpenEvaluation, Outcome
from tests.wardround.synthetic import START_MS, announcement, history, offer, plan, receipt, records
from wardround.report import Score, compare, conduct_figures, learning_figures, prose, style, write_report
from wardround.report.conduct_figures import spaced
from wardround.report.page import render
from wardround.report.prose import verdict

BYTES_MAX = 1_500_000


@pytest.fixture(scope="module")
def page() -> str:
    grown = history()
    pooled = {name: Score(0.6, 0.5, 0.7) for name in grown.sites}
    return render(grown, compare(grown, pooled), period_s=0.75)


@pytest.fixture(scope="module")
def empty_page() -> str:
    """Of a study with a malicious title that has not begun."""
    made = replace(plan(), title="<script>alert(1)</script> & more")
    grown = StudyHistory(made, made.digest, {"site-1": ""})
    return render(grown, compare(grown))


def test_the_page_is_small_and_loads_nothing(page: str) -> None:
    assert len(page.encode()) < BYTES_MAX
    assert not re.search(r"<script|<link|<img|@import|@font-face|url\((?!#)", page)
    assert not re.search(r'(?:src|href)="(?!#)', page)


def test_the_page_has_every_figure_and_each_has_a_name(page: str) -> None:
    assert page.count("<svg") == 7
    assert page.count('role="img" aria-label="') == 7


def test_the_page_names_study_plan_sites_and_refusals(page: str) -> None:
    grown = history()
    assert grown.plan_digest.hex() in page
    assert grown.plan.title in page
    assert all(name in page for name in grown.sites)
    assert "<code>stale</code>" in page


def test_what_a_plan_leaves_off_is_said(page: str) -> None:
    assert "Updates are not masked" in page
    assert "No noise is added" in page


def test_what_is_hidden_in_a_title_or_a_reason_is_shown() -> None:
    made = replace(plan(), title="Lung\x1b[2J \u202eerutuf")
    grown = StudyHistory(made, made.digest, {"site-1": "Clinic\u200b North"})
    grown.commands.append(
        Commanded(START_MS, "clinic-operator", Command("lung", 1, int(Action.STOP), None, None, "a\x9bb"))
    )
    page = render(grown, compare(grown))
    assert not {"\x1b", "\u202e", "\u200b", "\x9b"} & set(page)
    assert "Lung\\x1b[2J \\u202eerutuf" in page
    assert "a\\x9bb" in page


def test_names_are_escaped(empty_page: str) -> None:
    assert "<script" not in empty_page
    assert "&lt;script&gt;" in empty_page


def test_a_study_without_any_version_can_be_reported(empty_page: str) -> None:
    assert "No site has reported the metric yet." in empty_page
    assert "still running" in empty_page


def test_a_member_that_never_came_made_nothing_and_is_not_said_to_have_approved() -> None:
    grown = history()
    grown.site("site-7")
    text = render(grown, compare(grown))
    assert "6 of 7 sites (nothing of site-7 was counted) made 20 versions" in text
    assert "<dd>6 of 7</dd>" in text
    assert "All sites approved" not in text
    assert "that site-7 did, the log does not show" in text


def test_where_everybody_took_part_everybody_made_it_and_approved(page: str) -> None:
    assert ">6 sites made 20 versions" in page
    assert "All sites approved this plan" in page


def test_updates_of_another_plan_show_no_approval() -> None:
    made = plan()
    grown = StudyHistory(made, made.digest, {"site-1": ""})
    grown.feed(offer("site-1", 0, 0), START_MS)
    grown.feed(receipt("site-1", 0, Outcome.REFUSED, code="plan"), START_MS)
    assert "does not show yet" in prose.approval(grown)


def test_the_command_of_an_audit_can_be_copied(page: str) -> None:
    assert "wardround audit recompute lung --version N --key FILE" in page


def test_a_running_study_shows_no_column_and_no_words_for_what_is_not_there_yet(page: str) -> None:
    made, early = plan(), START_MS + 2000
    running = StudyHistory(made, made.digest, {f"site-{i}": "" for i in range(1, 7)})
    for at_ms, record in records():
        if not (isinstance(record, OpenEvaluation) and (record.version == 0 or at_ms > early)):
            running.feed(record, at_ms)
    text = render(running, compare(running), period_s=0.75)
    for words in ("<th>Alone</th>", "<em>Alone</em>", "bootstrap intervals over"):
        assert words in page
        assert words not in text


def test_labels_of_one_very_late_update_do_not_touch_each_other() -> None:
    assert spaced(list(range(5)), 5) == list(range(5))
    assert spaced(list(range(41)), 41) == list(range(0, 41, 4))
    assert spaced([0, 1, 2, 40], 41) == [0, 40]


def test_a_staleness_of_many_versions_is_drawn_with_few_ticks() -> None:
    grown = history()
    last = grown.versions[20]
    late = last.cohort[0]
    grown.sites[late.site].offers[late.sequence] = replace(
        grown.sites[late.site].offers[late.sequence], base_version=-21
    )
    for axes in conduct_figures.staleness(grown).axes:
        assert len(axes.get_xticks()) <= 12
        assert sum(bool(text.get_text()) for text in axes.texts) <= 12


def test_a_long_reason_wraps_instead_of_leaving_the_page(page: str) -> None:
    assert re.search(r"^\.words {[^}]*white-space: normal", page, re.MULTILINE)


def test_figures_of_many_sites_fit() -> None:
    made = plan()
    grown = StudyHistory(made, made.digest, {f"site-{i}": "" for i in range(60)})
    grown.feed(announcement(0, 0, closes=False), START_MS)
    assert len(render(grown, compare(grown)).encode()) < BYTES_MAX


def test_the_comparison_takes_the_newest_judgement_with_its_interval() -> None:
    grown = history()
    compared = compare(grown, {"site-1": Score(0.61)})
    row = compared.rows[0]
    final = grown.sites["site-1"].evaluations[20]
    assert compared.version == 20
    assert row.federated == Score(final["c-index"], final["c-index-low"], final["c-index-high"])
    assert row.pooled == Score(0.61)
    assert row.tested == 13


def test_overall_weighs_sites_and_leaves_out_models_nobody_judged() -> None:
    grown = history()
    compared = compare(grown)
    assert compared.overall.pooled is None
    assert compared.overall.federated is not None
    assert compared.overall.federated.value == pytest.approx(grown.overall(20))
    assert compared.overall.tested == 123


def test_an_update_without_an_answer_is_not_passed_over() -> None:
    made = plan()
    grown = StudyHistory(made, made.digest, {"site-1": ""})
    grown.feed(offer("site-1", 1, 0), START_MS)
    grown.feed(offer("site-1", 2, 0), START_MS)
    grown.feed(receipt("site-1", 1, Outcome.REFUSED, code="range"), START_MS)
    said = " ".join(prose.course(grown))
    assert "1 was refused: 1 as “range”" in said
    assert "1 had no answer yet" in said


@pytest.fixture(scope="module")
def commanded() -> StudyHistory:
    """A study that was paused for a while, with one site left out from then on."""
    grown, minute = history(), 60_000
    for serial, (action, site, version, reason) in enumerate(
        [
            (Action.PAUSE, None, None, "the broker moves <today>"),
            (Action.RESUME, None, None, "it has moved"),
            (Action.EXCLUDE, "site-3", None, "a wrong table"),
            (Action.CLOSE, None, 12, "enough for now"),
        ],
        start=1,
    ):
        given = Command("lung", serial, int(action), site, version, reason)
        grown.commands.append(Commanded(START_MS + serial * minute // 12, "clinic-operator", given))
    return grown


def test_every_command_is_shown_with_who_when_what_and_why(commanded: StudyHistory) -> None:
    page = render(commanded, compare(commanded), period_s=0.75)
    rows = page.partition("What operators commanded")[2].partition("</table>")[0]
    assert rows.count("<tr><td>9 October 2025, 08:53 UTC") == 4
    assert rows.count("clinic-operator") == 4
    assert "the broker moves &lt;today&gt;" in rows
    for words in ("pause: no round closes", "go on", "refuse the updates of site-3", "the round after version 12"):
        assert words in rows
    assert "that do not hold" not in page


def test_the_course_says_who_commanded_and_what_holds_at_the_end(commanded: StudyHistory) -> None:
    said = " ".join(prose.course(commanded))
    assert "4 commands of clinic-operator stand on the log; at the end site-3 stayed excluded; see below." in said


def test_commands_that_do_not_hold_are_counted_and_not_passed_over() -> None:
    grown = history()
    grown.commands_void = 2
    page = render(grown, compare(grown), period_s=0.75)
    assert "with a key that is revoked now: 2." in page
    assert "Reason given" not in page


def test_a_study_without_commands_has_no_such_part(page: str) -> None:
    assert "What operators commanded" not in page
    assert "on the log; see below" not in page


def test_what_could_not_be_read_is_said() -> None:
    grown = history()
    grown.missing = ("wardround.offers.site-2",)
    assert "The broker lacked wardround.offers.site-2" in " ".join(prose.course(grown))


def test_every_reason_of_a_refusal_and_every_action_has_words() -> None:
    assert prose.ACTIONS.keys() == set(Action)
    assert "excluded" in prose.CODES


def test_a_report_that_cannot_be_written_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardround.report.page.render", lambda *_, **__: "")
    (tmp_path / "file").write_text("")
    (tmp_path / "report.html").mkdir()
    for path in (tmp_path / "file" / "report.html", tmp_path / "report.html"):
        with pytest.raises(LocalError, match=rf"{path}: cannot be written"):
            write_report(history(versions=2), path)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345, "12 kB"), (1_500_000, "1.5 MB"), (2 * 10**13, "20 TB")],
)
def test_bytes_read_well(count: int, text: str) -> None:
    assert human_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.0 s"), (9.94, "9.9 s"), (59, "59 s"), (61, "1 min 1 s"), (3700, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_seconds_read_well(seconds: float, text: str) -> None:
    assert human_seconds(seconds) == text


def test_a_plan_reads_as_sentences_with_its_numbers() -> None:
    said = dict(prose.plan_in_words(plan()))
    assert "updates of 4 sites" in said["When a version is made"]
    assert "at least 3" in said["When a version is made"]
    assert "up to 4 versions behind" in said["Late work"]
    assert "After 20 versions." in said["When it ends"]


def test_a_line_that_only_some_sites_have_is_in_the_legend() -> None:
    grown = history()
    comparison = compare(grown)
    first, *rest = comparison.rows
    drawn = learning_figures.per_site(grown, replace(comparison, rows=(replace(first, alone=None), *rest)))
    assert "alone" in [text.get_text() for text in drawn.legends[0].get_texts()]


def test_a_study_that_is_over_is_drawn_to_its_end_and_not_to_when_it_was_looked_at() -> None:
    grown = history()
    assert grown.final
    last = max(version.at_ms for version in grown.versions.values())
    site = next(iter(grown.sites.values()))
    site.seen_ms.append(last + 7 * 60_000)
    start, end = conduct_figures._bounds(grown)
    assert last <= end <= last + max(2000, (last - start) // 20)


@pytest.mark.parametrize("letters", [5, 12, 25, 40, 90])
def test_a_legend_of_many_long_names_stays_within_the_page(letters: int) -> None:
    drawn = style.figure(2.9)
    axes = drawn.subplots()
    for index in range(9):
        axes.plot([0, 1], [index, index], label=("goal 16, staleness polynomial, rate 0.0625, " * 3)[:letters])
    style.legend(drawn, *axes.get_legend_handles_labels())
    drawn.draw_without_rendering()
    box = drawn.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= drawn.bbox.width


def test_the_overall_row_has_the_same_sites_in_every_column_and_says_who_is_left_out() -> None:
    grown = history()
    before = compare(grown).overall
    for values in grown.sites["site-2"].evaluations.values():
        values.pop("alone-c-index", None)  # type: ignore[attr-defined]  # a dict, as fed
    grown.sites["site-3"].evaluations = {20: {"bytes-up": 9.0}}
    compared = compare(grown)
    assert dict(compared.left_out) == {
        "site-2": "nothing of the model alone yet",
        "site-3": "it keeps what it measures: too few test patients, or its policy",
    }
    kept = [row for row in compared.rows if row.name not in ("site-2", "site-3")]
    assert compared.overall.tested == sum(row.tested or 0 for row in kept)
    for column in ("alone", "federated"):
        scores = {row.name: getattr(row, column).value for row in kept}
        assert getattr(compared.overall, column).value == pytest.approx(grown.mean(scores))
        assert getattr(before, column) != getattr(compared.overall, column)
    assert "Overall is without site-2" in verdict(compared)
    assert "the 4 sites compared" in verdict(compared)


def test_a_page_for_whom_measurements_are_sealed_says_how_to_see_them() -> None:
    grown = history()
    grown.feed(Told(grown.study, "site-1", 20, None), START_MS)
    assert "--key" in verdict(compare(grown))
    assert "--key" in render(grown, compare(grown))
