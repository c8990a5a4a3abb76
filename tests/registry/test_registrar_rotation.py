"""The registrar's key is exchanged: wherever the process dies, no key is lost and the log names one successor."""

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from protocol.digests import record_digest
from protocol.directory import Directory
from protocol.registrar_keys import hand_on
from protocol.rings import SignRing
from protocol.roster_memory import Met, RosterMemory
from protocol.signing import SigningKey
from registry.keyfiles import make_registrar_keys
from registry.on_log import OnLog
from registry.registrar import next_serial
from registry.registrar_rotation import RegistrarRotated, rotate_registrar_key
from schemas import topics
from schemas.errors import LocalError, PeerError
from schemas.records import KeyState, KeyUse, Member, MemberKey, Role, Roster, Signed
from tests.registry.test_rotation import DiedError, Dying
from transport.reading.entry import Entry

FILE_STEPS, LOG_STEPS = 8, 5  # of a whole rotation
MEMBER = SigningKey.generate()


class DyingDisk(Dying):
    """As a member's, and for the registrar's public key."""

    def write_public(self, path: Path, public: bytes) -> None:
        self._step()
        super().write_public(path, public)


@dataclass
class LogInMemory:
    """The topic of members, as a broker would keep it; whoever asks it may die before or after any of its steps."""

    entries: list[Entry] = field(default_factory=list)
    dies_at: int = 1000
    done: int = 0

    def put(self, key: bytes, signed: Signed) -> None:
        self.entries.append(Entry(topics.MEMBERS, len(self.entries), 0, key, signed.to_bytes()))

    def publish(self, key: SigningKey, state: KeyState = KeyState.ACTIVE) -> Roster:
        """The one member in this state, and the next roster."""
        listed = (MemberKey(KeyUse.SIGN, MEMBER.key_id, MEMBER.public, state),)
        self.put(b"lead", key.sign(Member("lead", "Office", (), (Role.COORDINATOR,), listed)))
        return self._roster(key, 0)

    def read_as(self, key: SigningKey) -> OnLog:
        found = OnLog(key.public)
        found.read(self.entries)
        return found

    async def read(self) -> Sequence[Entry]:
        self._step()
        return list(self.entries)

    async def hand_on(self, signed: Signed) -> None:
        self._step()
        self.put(topics.registrar_key(signed.key_id), signed)
        self._step()

    async def publish_roster(self, key: SigningKey, memory: RosterMemory) -> Roster:
        """As Registrar does."""
        self._step()
        found = self.read_as(key)
        found.refuse_handed_on()
        roster = found.standing or self._roster(key, memory.newest.serial if memory.newest else 0)
        self._step()
        memory.meet(Met(roster.serial, record_digest(roster.to_bytes())), key.public)
        return roster

    def _roster(self, key: SigningKey, met: int) -> Roster:
        found = self.read_as(key)
        serial = next_serial(found.roster.serial if found.roster else 0, met, restore=False)
        roster = Roster(serial, found.listed)
        self.put(topics.ROSTER_KEY, key.sign(roster))
        return roster

    def _step(self) -> None:
        if self.done == self.dies_at:
            raise DiedError
        self.done += 1


@pytest.fixture
def former(tmp_path: Path) -> SigningKey:
    return make_registrar_keys(tmp_path)


@pytest.fixture
def log(former: SigningKey) -> LogInMemory:
    made = LogInMemory()
    made.publish(former)
    return made


async def rotate(folder: Path, log: LogInMemory, disk: Any = None) -> RegistrarRotated:
    return await rotate_registrar_key(folder / "registrar.sign", log, disk)


def held(folder: Path) -> tuple[bytes, ...]:
    return SignRing.load(folder / "registrar.sign").publics


def successors(log: LogInMemory) -> int:
    return sum((entry.key or b"").startswith(b"registrar/") for entry in log.entries)


def read(pinned: bytes, log: LogInMemory) -> Directory:
    directory = Directory(pinned)
    for entry in log.entries:
        try:
            directory.feed(entry.topic, entry.key, entry.value)
        except PeerError:
            continue
    return directory


def assert_done(folder: Path, log: LogInMemory, former: SigningKey) -> None:
    """Two keys, one successor, and whoever pins either key sees the roster under the new one."""
    key = SigningKey.load(folder / "registrar.sign")
    assert (folder / "registrar.pub").read_bytes() == key.public
    assert set(held(folder)) == {key.public, former.public}
    assert not any(path.suffix in (".next", ".part") for path in folder.iterdir())
    assert successors(log) == 1
    found = log.read_as(key)
    assert found.standing is not None
    assert not found.foreign
    for pinned in (former, key):
        directory = read(pinned.public, log)
        assert directory.membership is not None
        assert directory.membership.serial == found.standing.serial
        assert directory.keys.newest == key.public


async def test_the_new_key_lies_in_the_place_of_the_former_one_which_stays_beside(
    tmp_path: Path, former: SigningKey, log: LogInMemory
) -> None:
    rotated = await rotate(tmp_path, log)
    assert (rotated.former, rotated.resumed, rotated.roster.serial) == (former.key_id, False, 2)
    assert rotated.retired == (tmp_path / f"registrar.sign.{former.key_id[:4].hex()}",)
    assert rotated.fingerprint == SigningKey.load(tmp_path / "registrar.sign").key_id.hex()
    private = [path for path in tmp_path.iterdir() if path.name.startswith("registrar.sign")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert_done(tmp_path, log, former)


async def test_it_is_rotated_any_number_of_times(tmp_path: Path, former: SigningKey, log: LogInMemory) -> None:
    for serial in (2, 3, 4):
        rotated = await rotate(tmp_path, log)
        assert (rotated.resumed, rotated.roster.serial) == (False, serial)
    assert len(held(tmp_path)) == 4
    for public in held(tmp_path):
        directory = read(public, log)
        assert directory.membership is not None
        assert (directory.membership.serial, directory.behind) == (4, "")


def deaths() -> Iterator[tuple[DyingDisk, int]]:
    for step in range(FILE_STEPS):
        yield DyingDisk(step), 1000
        yield DyingDisk(step, halfway=True), 1000
    for step in range(LOG_STEPS):
        yield DyingDisk(1000), step


@pytest.mark.parametrize("number", range(2 * FILE_STEPS + LOG_STEPS))
async def test_wherever_it_dies_no_key_is_lost_and_the_next_try_ends_it(
    tmp_path: Path, former: SigningKey, log: LogInMemory, number: int
) -> None:
    disk, log.dies_at = list(deaths())[number]
    with pytest.raises(DiedError):
        await rotate(tmp_path, log, disk)
    assert former.public in held(tmp_path)
    told, log.dies_at = successors(log), 1000
    if told:
        with pytest.raises(LocalError, match="handed on"):
            log.read_as(former).refuse_handed_on()
    rotated = await rotate(tmp_path, log)
    assert rotated.resumed or not told
    assert rotated.roster.serial == 2
    assert_done(tmp_path, log, former)
    assert not (await rotate(tmp_path, log)).resumed


async def test_a_whole_rotation_takes_as_many_steps_as_these_tests_die_at(
    tmp_path: Path, former: SigningKey, log: LogInMemory
) -> None:
    disk = DyingDisk(1000)
    await rotate(tmp_path, log, disk)
    assert (disk.done, log.done) == (FILE_STEPS, LOG_STEPS)


async def test_dying_again_and_again_one_step_further_each_time_ends_as_well(
    tmp_path: Path, former: SigningKey, log: LogInMemory
) -> None:
    for step in range(FILE_STEPS):
        try:
            await rotate(tmp_path, log, DyingDisk(step))
            break
        except DiedError:
            assert former.public in held(tmp_path)
    else:
        await rotate(tmp_path, log)
    assert_done(tmp_path, log, former)


async def test_without_registrar_pub_a_rotation_that_died_before_its_last_step_is_gone_on_with(
    tmp_path: Path, former: SigningKey, log: LogInMemory
) -> None:
    (tmp_path / "registrar.pub").unlink()
    with pytest.raises(DiedError):
        await rotate(tmp_path, log, DyingDisk(FILE_STEPS))  # the last: one more than usual, the public half at first
    assert (await rotate(tmp_path, log)).resumed
    assert_done(tmp_path, log, former)


async def test_what_the_registrar_published_is_remembered_over_the_rotation(
    tmp_path: Path, former: SigningKey, log: LogInMemory
) -> None:
    rotated = await rotate(tmp_path, log)
    memory = RosterMemory.beside(tmp_path / "registrar.sign", rotated.public)
    assert memory.newest is not None
    assert memory.newest.serial == 2


async def test_a_log_that_was_put_back_is_handed_the_same_key_again(
    tmp_path: Path, former: SigningKey, log: LogInMemory
) -> None:
    before = list(log.entries)
    first = await rotate(tmp_path, log)
    log.entries = before
    with pytest.raises(LocalError, match="is an older copy") as refused:
        await rotate(tmp_path, log)
    assert "roster --restore" in refused.value.hint, "which is of use now: the log knows the key"
    found = log.read_as(SigningKey.load(tmp_path / "registrar.sign"))
    assert "lead" in found.members
    assert (held(tmp_path)[0], successors(log)) == (first.public, 1)


@pytest.mark.parametrize("what", ["empty", "of another registrar", "without a roster"])
async def test_where_the_log_has_no_place_for_it_no_key_is_made(
    tmp_path: Path, former: SigningKey, log: LogInMemory, what: str
) -> None:
    log.entries = log.entries[:1] if what == "without a roster" else []
    if what == "of another registrar":
        log.publish(SigningKey.generate())
    there = len(log.entries)
    with pytest.raises(LocalError, match="another registrar" if what == "of another registrar" else "no roster yet"):
        await rotate(tmp_path, log)
    assert held(tmp_path) == (former.public,)
    assert not (tmp_path / "registrar.sign.next").exists()
    assert len(log.entries) == there


async def test_a_key_that_somebody_else_handed_on_is_not_handed_on_again(
    tmp_path: Path, former: SigningKey, log: LogInMemory
) -> None:
    log.put(topics.registrar_key(former.key_id), hand_on(former, SigningKey.generate(), 1))
    with pytest.raises(LocalError, match="was handed on to") as refused:
        await rotate(tmp_path, log)
    assert "the key was stolen" in refused.value.hint
    assert not (tmp_path / "registrar.sign.next").exists()


async def test_a_disk_that_takes_nothing_is_said_and_loses_nothing(
    tmp_path: Path, former: SigningKey, log: LogInMemory
) -> None:
    class Full(DyingDisk):
        def rename(self, source: Path, target: Path) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(LocalError, match="is not rotated yet: No space left"):
        await rotate(tmp_path, log, Full(1000))
    assert held(tmp_path) == (former.public,)
    assert successors(log) == 0


async def test_what_a_former_key_signs_after_it_was_handed_on_is_not_the_registrars(
    tmp_path: Path, former: SigningKey, log: LogInMemory
) -> None:
    await rotate(tmp_path, log)
    key = SigningKey.load(tmp_path / "registrar.sign")
    listed = log.read_as(key).listed
    log.put(b"lead", former.sign(Member("lead", "Thief", (), (Role.COORDINATOR,), ())))
    log.put(topics.ROSTER_KEY, former.sign(Roster(1, ())))
    log.put(topics.ROSTER_KEY, former.sign(Roster(7, ())))
    found = log.read_as(key)
    assert (found.listed, found.foreign) == (listed, 3)
    assert found.standing is not None
    assert found.standing.serial == 2
