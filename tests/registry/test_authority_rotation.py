"""The authority's rotation: both are believed meanwhile, a kill between two steps loses no key, the old one ends."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from protocol.tls.files import pem
from protocol.tls.renewal import Life, check_next, is_issued
from protocol.tls.requests import new_tls_key
from registry.pki.authority import Authority
from registry.pki.profiles import PROFILES
from registry.pki.rotation import retire, rotate, steps
from schemas.errors import LocalError, PeerError

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SITE = PROFILES["site"]


def leaf_of(authority: Authority, now: datetime = NOW) -> x509.Certificate:
    return authority.issue(SITE, "clinic", new_tls_key().public_key(), now)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Authority.new("hearts", NOW).save(tmp_path)
    return tmp_path


def test_who_believes_the_former_root_alone_believes_what_the_new_one_gives_and_the_other_way_round(
    folder: Path,
) -> None:
    former = Authority.load(folder)
    new = rotate(folder, "hearts", NOW + DAY)
    given, given_before = leaf_of(new, NOW + DAY), leaf_of(former)
    assert is_issued(given, new.between, former.roots)
    assert is_issued(given, (), new.roots)
    assert is_issued(given_before, (), new.roots)
    assert not is_issued(given, (), former.roots)
    assert new.roots == (new.certificate, former.certificate)


def test_a_retired_authority_is_believed_no_more(folder: Path) -> None:
    former = Authority.load(folder)
    rotate(folder, "hearts", NOW)
    alone = retire(folder)
    assert alone.roots == (alone.certificate,)
    assert Authority.load(folder).between == ()
    assert not is_issued(leaf_of(former), (), alone.roots)
    with pytest.raises(LocalError, match="no former authority"):
        retire(folder)


@pytest.mark.parametrize("dies_before", range(1, 5))
def test_a_kill_between_two_steps_loses_no_key_and_is_gone_on_from(folder: Path, dies_before: int) -> None:
    former_key = (folder / "ca.key").read_bytes()
    former = Authority.load(folder)
    for step in steps(folder, "hearts", NOW)[:dies_before]:
        step()
    held = [path.read_bytes() for path in folder.rglob("ca.key*") if path.is_file()]
    assert former_key in held
    new = rotate(folder, "hearts", NOW)
    assert new.roots[-1] == former.certificate
    assert len(new.roots) == 2
    assert former_key in [path.read_bytes() for path in folder.glob("ca.key.*")]
    assert not (folder / "ca.next").exists()
    assert is_issued(leaf_of(new), new.between, former.roots)


def test_a_certificate_is_due_in_the_last_third_and_warned_of_only_then() -> None:
    life = Life(NOW, NOW + 90 * DAY)
    assert [life.is_due(NOW + days * DAY) for days in (0, 59, 60, 89)] == [False, False, True, True]
    assert [life.warned_of(NOW + days * DAY) for days in (0, 59, 60, 83, 88.5, 89, 91)] == [None, None, 30, 7, 7, 1, 1]
    short = Life(NOW, NOW + DAY / 144)
    assert short.warned_of(NOW) is None
    assert short.asked_again_after() == timedelta(seconds=10)


def test_only_a_later_certificate_for_the_same_name_and_key_takes_the_place_of_another(folder: Path) -> None:
    authority, key = Authority.load(folder), new_tls_key().public_key()
    own = authority.issue(SITE, "clinic", key, NOW)
    later = authority.issue(SITE, "clinic", key, NOW + DAY)
    now, roots = NOW + 2 * DAY, authority.roots
    assert check_next("clinic", own, pem((later,)), roots, now) == later
    wrong = {
        "ends no later": (own, roots, now),
        "for another key": (leaf_of(authority, NOW + DAY), roots, now),
        "for clinic-2 instead of clinic": (authority.issue(SITE, "clinic-2", key, NOW + DAY), roots, now),
        "not believed": (later, Authority.new("another", NOW).roots, now),
        "not valid now": (later, roots, NOW + 200 * DAY),
    }
    for said, (certificate, believed, at) in wrong.items():
        with pytest.raises(PeerError, match=said):
            check_next("clinic", own, pem((certificate,)), believed, at)
    with pytest.raises(PeerError, match="is none"):
        check_next("clinic", own, b"nothing", roots, now)
