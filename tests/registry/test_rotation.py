"""New keys in the place of those in use: none is ever lost, wherever the process dies."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protocol.key_files import retired_path
from protocol.rings import OpenRing, SignRing
from protocol.signing import key_id
from registry.keyfiles import MemberCard, make_member_keys, read_card
from registry.rotation import Disk, rotate_member_keys
from schemas.errors import LocalError

NAME = "clinic-north"
STEPS = 15  # of a whole rotation


class DiedError(Exception):
    """The process is gone."""


class Dying(Disk):
    """A disk whose user dies before its step number `dies_at`, or with the half of a file written in it."""

    def __init__(self, dies_at: int, *, halfway: bool = False) -> None:
        self.done, self._dies_at, self._halfway = 0, dies_at, halfway

    def save(self, key: Any, path: Path) -> None:
        if self._halfway and self.done == self._dies_at:
            path.write_bytes(b"half a key")
        self._step()
        super().save(key, path)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)

    def write_card(self, path: Path, card: MemberCard) -> None:
        self._step()
        super().write_card(path, card)

    def _step(self) -> None:
        if self.done == self._dies_at:
            raise DiedError
        self.done += 1


@pytest.fixture
def former(tmp_path: Path) -> MemberCard:
    return make_member_keys(NAME, tmp_path)


def held(folder: Path) -> set[bytes]:
    """The public halves of all keys that a service would load now; both files are there and whole."""
    signing, opening = SignRing.load(folder / f"{NAME}.sign"), OpenRing.load(folder / f"{NAME}.open")
    signs = {key.public for one in signing.key_ids if (key := signing.key(one))}
    return signs | {opens.public for one in opening.key_ids if (opens := opening.key(one))}


def in_order(folder: Path) -> bool:
    """Nothing of a rotation is left undone."""
    card = read_card(folder / f"{NAME}.pub")
    signing, opening = SignRing.load(folder / f"{NAME}.sign"), OpenRing.load(folder / f"{NAME}.open")
    same = (signing.key_ids[0], opening.key_ids[0]) == (key_id(card.sign), key_id(card.open))
    return same and not any(path.suffix in (".next", ".part") for path in folder.iterdir())


def test_new_keys_lie_in_the_place_of_the_former_ones_which_stay_beside(tmp_path: Path, former: MemberCard) -> None:
    rotated = rotate_member_keys(NAME, tmp_path)
    beside = tuple(
        retired_path(tmp_path / f"{NAME}.{ending}", key_id(public))
        for ending, public in (("sign", former.sign), ("open", former.open))
    )
    assert (rotated.retired, rotated.resumed) == (beside, False)
    assert rotated.card.name == NAME
    assert {rotated.card.sign, rotated.card.open}.isdisjoint({former.sign, former.open})
    assert held(tmp_path) == {rotated.card.sign, rotated.card.open, former.sign, former.open}
    assert in_order(tmp_path)
    private = [path for path in tmp_path.iterdir() if path.suffix not in (".pub", ".tls")]
    assert len(private) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}


def test_keys_are_rotated_any_number_of_times(tmp_path: Path, former: MemberCard) -> None:
    cards = [former, *(rotate_member_keys(NAME, tmp_path).card for _ in range(3))]
    assert held(tmp_path) == {key for card in cards for key in (card.sign, card.open)}
    assert len(rotate_member_keys(NAME, tmp_path).retired) == 8


def deaths() -> Iterator[Dying]:
    for step in range(STEPS):
        yield Dying(step)
        yield Dying(step, halfway=True)


@pytest.mark.parametrize("number", range(2 * STEPS))
def test_wherever_it_dies_no_key_is_lost_and_the_next_try_ends_it(
    tmp_path: Path, former: MemberCard, number: int
) -> None:
    with pytest.raises(DiedError):
        rotate_member_keys(NAME, tmp_path, list(deaths())[number])
    before = held(tmp_path)
    assert before >= {former.sign, former.open}
    rotated = rotate_member_keys(NAME, tmp_path)
    assert in_order(tmp_path)
    assert held(tmp_path) == before | {former.sign, former.open, rotated.card.sign, rotated.card.open}
    assert len(held(tmp_path)) == 4, "one rotation, however often it was tried"


@pytest.mark.parametrize("first", range(STEPS))
def test_dying_again_and_again_one_step_further_each_time_ends_as_well(
    tmp_path: Path, former: MemberCard, first: int
) -> None:
    for _ in range(STEPS):
        try:
            rotate_member_keys(NAME, tmp_path, Dying(first))
            break
        except DiedError:
            first += 1
            assert held(tmp_path) >= {former.sign, former.open}
    assert in_order(tmp_path)
    assert len(held(tmp_path)) == 4


def test_a_whole_rotation_takes_as_many_steps_as_these_tests_die_at(tmp_path: Path, former: MemberCard) -> None:
    disk = Dying(1000)
    rotate_member_keys(NAME, tmp_path, disk)
    assert disk.done == STEPS


def test_a_rotation_that_lacked_its_card_alone_says_that_it_was_finished(tmp_path: Path, former: MemberCard) -> None:
    with pytest.raises(DiedError):
        rotate_member_keys(NAME, tmp_path, Dying(STEPS - 1))
    assert rotate_member_keys(NAME, tmp_path).resumed
    assert not rotate_member_keys(NAME, tmp_path).resumed


def test_without_keys_there_is_nothing_to_rotate(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"clinic-north\.sign") as refused:
        rotate_member_keys(NAME, tmp_path)
    assert "wardround keys new" in refused.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_card_that_is_gone_is_made_with_the_new_keys(tmp_path: Path, former: MemberCard) -> None:
    (tmp_path / f"{NAME}.pub").unlink()
    assert not rotate_member_keys(NAME, tmp_path).resumed
    assert in_order(tmp_path)


def test_a_disk_that_takes_nothing_is_said_and_loses_nothing(tmp_path: Path, former: MemberCard) -> None:
    class Full(Disk):
        def rename(self, source: Path, target: Path) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(LocalError, match="not rotated yet: No space left") as refused:
        rotate_member_keys(NAME, tmp_path, Full())
    assert "no key is lost" in refused.value.hint
    assert held(tmp_path) == {former.sign, former.open}


def test_another_key_under_the_name_of_a_retired_one_stays(tmp_path: Path, former: MemberCard) -> None:
    make_member_keys("other", tmp_path)
    beside = retired_path(tmp_path / f"{NAME}.sign", key_id(former.sign))
    (tmp_path / "other.sign").rename(beside)
    with pytest.raises(LocalError, match="another key than its name says"):
        rotate_member_keys(NAME, tmp_path)
    beside.unlink()
    assert rotate_member_keys(NAME, tmp_path).resumed
    assert in_order(tmp_path)
