"""Invitation, request, answer: three files by mail, none of which can be exchanged for another."""

import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from participant.settings import Settings
from protocol.signing import SigningKey
from protocol.tls.files import certificate_in
from registry.armour import ANSWER, REQUEST, read_armoured, write_armoured
from registry.joining.answer import Answer
from registry.joining.invitation import Invitation
from registry.joining.site_folder import Asked, SiteFolder
from registry.keyfiles import MemberCard, make_registrar_keys, read_card
from registry.pki.authority import Authority
from registry.pki.issuing import certify
from runtime.settings import load_settings
from schemas.errors import LocalError
from schemas.records import Role

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
BROKERS = "kafka.example.org:443"


class Office:
    """A registrar with its authority, as far as joining needs it."""

    def __init__(self, folder: Path) -> None:
        self.key = make_registrar_keys(folder)
        self.authority = Authority.new("hearts", NOW)
        self.authority.save(folder)
        self.folder = folder

    def invite(self) -> Path:
        path = self.folder / "invitation.txt"
        roots = (self.folder / "ca.pem").read_bytes()
        Invitation("hearts", BROKERS, roots, self.key.public, ("lung",)).save(path, self.key)
        return path

    def answer(self, card: MemberCard, *, key: SigningKey | None = None, name: str = "") -> Path:
        path = self.folder / "answer.txt"
        answer = Answer.of(card.name, BROKERS, certify(self.authority, card, [Role.SITE], NOW))
        replace(answer, name=name or card.name).save(path, key or self.key)
        return path


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path / "registrar")


@pytest.fixture
def site(office: Office, tmp_path: Path) -> tuple[SiteFolder, MemberCard]:
    folder = SiteFolder(tmp_path / "clinic")
    return folder, folder.make(Invitation.load(office.invite()), Asked("clinic", "Clinic of the North"))


def test_a_site_joins_and_its_settings_are_a_participants(office: Office, site: tuple[SiteFolder, MemberCard]) -> None:
    folder, card = site
    answer = folder.join("clinic", office.answer(card), NOW)
    assert certificate_in(folder.tls("clinic")).subject.rfc4514_string() == "CN=clinic,O=federation"
    assert answer.until == NOW + timedelta(days=90)
    settings = load_settings(Settings, folder.settings, {})
    assert (settings.name, settings.kafka.bootstrap, settings.kafka.security) == ("clinic", BROKERS, "tls")
    assert settings.kafka.tls == folder.tls("clinic")
    assert settings.keys.registrar.read_bytes() == office.key.public


def test_a_card_says_who_asks_and_any_change_shows_in_its_fingerprint(
    site: tuple[SiteFolder, MemberCard], tmp_path: Path
) -> None:
    folder, card = site
    assert folder.card("clinic") == card
    assert card.institution == "Clinic of the North"
    assert len(card.fingerprint) == 19
    assert folder.card("clinic").fingerprint == card.fingerprint
    other = SiteFolder(tmp_path / "other").make(Invitation.load(_invitation(tmp_path)), Asked("clinic", "x"))
    assert other.fingerprint != card.fingerprint


def test_a_card_that_was_changed_on_its_way_is_refused(site: tuple[SiteFolder, MemberCard], tmp_path: Path) -> None:
    _, card = site
    changed = card.to_bytes().replace(b"Clinic of the North", b"Clinic of the South")
    write_armoured(tmp_path / "request.txt", REQUEST, changed)
    with pytest.raises(LocalError, match="changed on its way"):
        read_card(tmp_path / "request.txt")


def test_an_answer_of_another_registrar_is_refused_and_changes_nothing(
    office: Office, site: tuple[SiteFolder, MemberCard]
) -> None:
    folder, card = site
    with pytest.raises(LocalError, match="is not signed by the registrar that was pinned here"):
        folder.join("clinic", office.answer(card, key=SigningKey.generate()), NOW)
    assert not (folder.tls("clinic") / "cert.pem").exists()


def test_an_answer_for_another_name_or_another_key_or_time_is_refused(
    office: Office, site: tuple[SiteFolder, MemberCard], tmp_path: Path
) -> None:
    folder, card = site
    with pytest.raises(LocalError, match="the answer is for clinic-south, and this is clinic"):
        folder.join("clinic", office.answer(card, name="clinic-south"), NOW)
    other = SiteFolder(tmp_path / "twin").make(Invitation.load(office.invite()), Asked("clinic", "twin"))
    with pytest.raises(LocalError, match="is for another key"):
        folder.join("clinic", office.answer(other), NOW)
    with pytest.raises(LocalError, match="valid from"):
        folder.join("clinic", office.answer(card), NOW + timedelta(days=200))
    assert not (folder.tls("clinic") / "cert.pem").exists()


def test_an_answer_whose_certificate_is_of_no_root_of_its_own_is_refused(
    office: Office, site: tuple[SiteFolder, MemberCard]
) -> None:
    folder, card = site
    issued = certify(Authority.new("another", NOW), card, [Role.SITE], NOW)
    answer = Answer("clinic", BROKERS, issued.chain, (office.folder / "ca.pem").read_bytes())
    answer.save(office.folder / "answer.txt", office.key)
    with pytest.raises(LocalError, match="not issued by one of its own roots"):
        folder.join("clinic", office.folder / "answer.txt", NOW)


def test_an_invitation_that_was_changed_or_is_another_kind_of_file_is_refused(office: Office, tmp_path: Path) -> None:
    path = office.invite()
    text = path.read_text()
    path.write_text(text.replace(text[60:64], "AAAA", 1))
    with pytest.raises(LocalError, match=r"changed on its way|another version"):
        Invitation.load(path)
    path.write_text(text.replace("INVITATION", "ANSWER"))
    with pytest.raises(LocalError, match="is no invitation: it is an answer"):
        Invitation.load(path)
    path.write_text("hello")
    with pytest.raises(LocalError, match="does not begin like one"):
        Invitation.load(path)
    with pytest.raises(LocalError, match="cannot be read"):
        Invitation.load(tmp_path / "nowhere")


def test_files_survive_a_mail_program_that_adds_text_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "answer.txt"
    write_armoured(path, ANSWER, bytes(range(256)))
    path.write_bytes(b"Dear colleague,\r\n\r\n" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n-- \r\nbye\r\n")
    assert read_armoured(path, ANSWER) == bytes(range(256))


def test_a_folder_in_use_is_not_made_again(office: Office, site: tuple[SiteFolder, MemberCard]) -> None:
    folder, card = site
    with pytest.raises(LocalError, match="is a site's folder already"):
        folder.make(Invitation.load(office.invite()), Asked("clinic", "again"))
    assert folder.card("clinic") == card


def test_odd_words_of_people_make_no_other_settings(office: Office, tmp_path: Path) -> None:
    folder = SiteFolder(tmp_path / "odd")
    odd = Asked("odd", 'Clinic "Zürich"\n[policy]\ncohort_min = 1', tmp_path / 'a "folder"')
    folder.make(Invitation.load(office.invite()), odd)
    assert tomllib.loads(folder.settings.read_text())["policy"]["cohort_min"] == 3


def _invitation(tmp_path: Path) -> Path:
    return Office(tmp_path / "another").invite()
