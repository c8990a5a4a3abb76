"""An answer under the registrar's next key, at a site that pinned the former one."""

from pathlib import Path

import pytest

from participant.settings import Settings
from protocol.signing import SigningKey
from protocol.tls.files import pem
from registry.joining.answer import Answer
from registry.joining.invitation import Invitation
from registry.joining.site_folder import Asked, SiteFolder
from registry.keyfiles import MemberCard
from registry.pki.authority import Authority, utc_now
from registry.pki.issuing import certify
from runtime.settings import load_settings
from schemas.records import Role
from wardround.cli import main

BROKERS = "kafka.example.org:443"
AUTHORITY = Authority.new("hearts", utc_now())
FORMER, NEW = SigningKey.generate(), SigningKey.generate()


def invite(path: Path, key: SigningKey) -> Path:
    Invitation("hearts", BROKERS, pem(AUTHORITY.roots), key.public).save(path, key)
    return path


def answered(path: Path, card: MemberCard, key: SigningKey) -> Path:
    Answer.of(card.name, BROKERS, certify(AUTHORITY, card, [Role.SITE], utc_now())).save(path, key)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> SiteFolder:
    """A site that was invited under the former key."""
    made = SiteFolder(tmp_path / "clinic")
    made.make(Invitation.load(invite(tmp_path / "invitation.txt", FORMER)), Asked("clinic", "Clinic"))
    return made


def test_an_answer_under_the_next_key_asks_for_a_new_invitation_and_with_it_the_site_belongs(
    tmp_path: Path, folder: SiteFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = answered(tmp_path / "answer.txt", folder.card("clinic"), NEW)
    join = ["site", "join", str(folder.folder), str(answer)]
    assert main(join) == 2
    told = capsys.readouterr().err
    assert "is not signed by the registrar that was pinned here" in told
    assert "fetch a new invitation" in told
    assert folder.registrar.read_bytes() == FORMER.public
    newer = invite(tmp_path / "newer.txt", NEW)
    assert main([*join, "--invitation", str(newer)]) == 0
    assert folder.registrar.read_bytes() == NEW.public
    assert load_settings(Settings, folder.settings, {}).keys.registrar == folder.registrar


def test_an_invitation_that_does_not_fit_the_answer_pins_nothing(tmp_path: Path, folder: SiteFolder) -> None:
    answer = answered(tmp_path / "answer.txt", folder.card("clinic"), FORMER)
    newer = invite(tmp_path / "newer.txt", NEW)
    assert main(["site", "join", str(folder.folder), str(answer), "--invitation", str(newer)]) == 2
    assert folder.registrar.read_bytes() == FORMER.public
    assert main(["site", "join", str(folder.folder), str(answer)]) == 0


def test_another_mistake_says_nothing_of_a_rotation(
    tmp_path: Path, folder: SiteFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["site", "join", str(folder.folder), str(tmp_path / "none.txt")]) == 2
    assert "invitation" not in capsys.readouterr().err
