"""What lies on the machine of a site: each fault is found by its name, and nothing else but what depends on it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.wardround.doctor.cases import GIB, NAME, case_of, later, site
from wardround.doctor.case import Case, Who
from wardround.doctor.finding import State
from wardround.doctor.run import Round, first_checks


async def states(case: Case) -> dict[str, State]:
    round_ = Round(case, lambda check: None, lambda finding: None)
    await round_.go(first_checks(case.who))
    return {one.name: one.state for one in round_.findings if one.state is not State.OK}


def _rename(text: str, to: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(path.read_text().replace(text, to))


async def test_a_site_that_is_well_has_nothing_but_ok(tmp_path: Path) -> None:
    assert await states(case_of(site(tmp_path))) == {}


@pytest.mark.parametrize(
    ("figures", "name", "state"),
    [
        ({"now": later(days=61)}, "certificate-dates", State.WARNING),
        ({"now": later(days=84)}, "certificate-dates", State.WARNING),
        ({"now": later(days=89.5)}, "certificate-dates", State.WRONG),
        ({"now": later(days=91)}, "certificate-dates", State.WRONG),
        ({"synchronised": lambda: False}, "clock", State.WARNING),
        ({"free_bytes": lambda folder: GIB - 1}, "disk-free", State.WRONG),
        ({"free_bytes": lambda folder: 2 * GIB}, "disk-free", State.WARNING),
        ({"sync_s": lambda folder: 9.0}, "disk-speed", State.WARNING),
        ({"memory_bytes": lambda: GIB // 4}, "memory", State.WRONG),
        ({"memory_bytes": lambda: GIB - 1}, "memory", State.WARNING),
        ({"environ": {"WARDROUND_KAFKA_BOTSTRAP": "x:1"}}, "settings-file", State.WARNING),
    ],
)
async def test_a_figure_that_is_not_well_is_found(
    tmp_path: Path, figures: dict[str, object], name: str, state: State
) -> None:
    assert await states(case_of(site(tmp_path), **figures)) == {name: state}


async def test_what_the_system_does_not_say_is_not_held_against_it(tmp_path: Path) -> None:
    assert await states(case_of(site(tmp_path), synchronised=lambda: None, memory_bytes=lambda: None)) == {}


async def test_a_clock_before_the_certificate_is_the_clocks_fault(tmp_path: Path) -> None:
    found = await states(case_of(site(tmp_path), now=later(days=-2)))
    assert found == {"clock": State.WRONG, "certificate-dates": State.SKIPPED}


@pytest.mark.parametrize("key", [f"{NAME}.sign", f"{NAME}.open"])
async def test_a_key_that_is_open_to_others_is_found(tmp_path: Path, key: str) -> None:
    path = site(tmp_path)
    (tmp_path / key).chmod(0o644)
    assert await states(case_of(path)) == {"keys": State.WRONG}


async def test_a_key_for_tls_that_is_open_to_others_is_found(tmp_path: Path) -> None:
    path = site(tmp_path)
    (tmp_path / f"{NAME}.tls" / "key.pem").chmod(0o644)
    assert await states(case_of(path)) == {"certificate": State.WRONG, "certificate-dates": State.SKIPPED}


async def test_a_certificate_for_another_member_or_key_is_found(tmp_path: Path) -> None:
    path, other = site(tmp_path / "one"), tmp_path / "other"
    site(other)
    (tmp_path / "one" / f"{NAME}.tls" / "cert.pem").write_bytes((other / f"{NAME}.tls" / "cert.pem").read_bytes())
    assert (await states(case_of(path)))["certificate"] is State.WRONG
    path = site(tmp_path / "two")
    path.write_text(path.read_text().replace(f'name = "{NAME}"', 'name = "clinic-south"'))
    assert (await states(case_of(path)))["certificate"] is State.WRONG


@pytest.mark.parametrize(
    "spoil", [_rename("bootstrap", "botstrap"), _rename("[kafka]", "[kafka"), Path.unlink], ids=["key", "toml", "gone"]
)
async def test_settings_that_cannot_be_read_are_found_and_all_else_waits(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    path = site(tmp_path)
    spoil(path)
    found = await states(case_of(path))
    assert found.pop("settings-file") is State.WRONG
    assert set(found.values()) == {State.SKIPPED}


async def test_a_data_folder_that_cannot_be_written_is_found(tmp_path: Path) -> None:
    path = site(tmp_path)
    path.write_text(path.read_text().replace('data_dir = "data"', 'data_dir = "/proc/wardround"'))
    found = await states(case_of(path))
    assert found == {"data-folder": State.WRONG, "disk-speed": State.SKIPPED}


async def test_without_tls_on_purpose_is_a_warning_and_needs_no_certificate(tmp_path: Path) -> None:
    path = site(tmp_path, kafka='security = "plaintext-on-purpose"')
    found = await states(case_of(path))
    assert found.pop("encryption") is State.WARNING
    assert found == {"certificate": State.SKIPPED, "certificate-dates": State.SKIPPED}


async def test_the_figures_of_this_machine_can_be_read(tmp_path: Path) -> None:
    round_ = Round(Case(Who.SITE, site(tmp_path)), lambda check: None, lambda finding: None)
    await round_.go(first_checks(Who.SITE))
    assert [one.seen for one in round_.findings if "the check itself failed" in one.seen] == []
