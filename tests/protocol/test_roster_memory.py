"""A roster that is older than one that was met before makes no membership, whoever put it back."""

from pathlib import Path

import pytest

from protocol.digests import record_digest
from protocol.directory import Directory
from protocol.roster_memory import Met, RosterMemory
from protocol.signing import SigningKey
from schemas import topics
from schemas.errors import LocalError
from schemas.records import KeyState, KeyUse, Member, MemberKey, Role, Roster

REGISTRAR, AUDITOR, OTHER = SigningKey.generate(), SigningKey.generate(), SigningKey.generate()


class Log:
    """The topic of members, as the registrar wrote it."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes]] = []
        self.serial = 0

    def publish(self, state: KeyState) -> None:
        """The auditor with its key in this state, and the next roster."""
        keys = (MemberKey(KeyUse.SIGN, AUDITOR.key_id, AUDITOR.public, state),)
        member = Member("auditor", "Office", (), (Role.AUDITOR,), keys)
        self.serial += 1
        roster = Roster(self.serial, (("auditor", record_digest(member.to_bytes())),))
        self.records.append((b"auditor", REGISTRAR.sign(member).to_bytes()))
        self.records.append((topics.ROSTER_KEY, REGISTRAR.sign(roster).to_bytes()))

    def read(self, memory: RosterMemory | None, records: int | None = None) -> Directory:
        directory = Directory(REGISTRAR.public, memory)
        for key, value in self.records[:records]:
            directory.feed(topics.MEMBERS, key, value)
        return directory


@pytest.fixture
def log() -> Log:
    """An auditor who was revoked with the second roster."""
    made = Log()
    made.publish(KeyState.ACTIVE)
    made.publish(KeyState.REVOKED)
    return made


def memory(folder: Path, registrar: bytes = REGISTRAR.public) -> RosterMemory:
    return RosterMemory(folder / "roster.met", registrar)


def test_an_older_copy_of_the_topic_makes_no_membership_after_a_restart(log: Log, tmp_path: Path) -> None:
    newest = log.read(memory(tmp_path)).membership
    assert newest is not None
    replayed = log.read(memory(tmp_path), records=2)
    assert replayed.membership is None
    assert "the newest roster on the log has serial 1, serial 2 was met here before" in replayed.behind
    assert log.read(None, records=2).membership is not None, "whoever never met the second cannot tell"


def test_an_emptied_topic_is_said(log: Log, tmp_path: Path) -> None:
    log.read(memory(tmp_path))
    assert "holds no roster, serial 2 was met" in log.read(memory(tmp_path), records=0).behind


def test_another_roster_of_the_same_serial_is_not_believed(log: Log, tmp_path: Path) -> None:
    log.read(memory(tmp_path))
    other = Log()
    other.publish(KeyState.ACTIVE)
    other.publish(KeyState.ACTIVE)
    read = other.read(memory(tmp_path))
    assert read.membership is None
    assert "another roster of serial 2" in read.behind


def test_it_goes_on_with_the_same_or_a_later_roster(log: Log, tmp_path: Path) -> None:
    for state in (KeyState.REVOKED, KeyState.REVOKED):
        read = log.read(memory(tmp_path))
        assert (read.behind, read.membership is not None) == ("", True)
        log.publish(state)
    assert memory(tmp_path).newest == Met(3, read.membership.digest if read.membership else b"")


def test_another_registrar_is_another_federation(log: Log, tmp_path: Path) -> None:
    log.read(memory(tmp_path))
    assert memory(tmp_path, OTHER.public).newest is None


def test_a_file_that_is_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "roster.met").write_bytes(b"\xff\x00 what")
    with pytest.raises(LocalError, match=r"roster\.met does not hold"):
        memory(tmp_path)


def test_a_disk_that_takes_nothing_is_told_and_ends_nothing(log: Log, tmp_path: Path) -> None:
    lost: list[OSError] = []
    gone = RosterMemory(tmp_path / "no-such-folder" / "roster.met", REGISTRAR.public, lost.append)
    assert log.read(gone).membership is not None
    assert len(lost) == 2


def test_a_commands_memory_lies_beside_its_key(tmp_path: Path) -> None:
    RosterMemory.beside(tmp_path / "auditor.open", REGISTRAR.public).meet(Met(4, bytes(32)))
    assert (tmp_path / "auditor.met").exists()
    assert RosterMemory.beside(tmp_path / "auditor.sign", REGISTRAR.public).newest == Met(4, bytes(32))
