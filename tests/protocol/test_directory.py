"""What a registrar's topics say when they are somebody else's."""

import pytest

from protocol.directory import Directory
from protocol.signing import SigningKey
from schemas import topics
from schemas.errors import PeerError
from schemas.records import Roster

MINE, OTHER = SigningKey.generate(), SigningKey.generate()


def _feed(directory: Directory, key: SigningKey) -> None:
    directory.feed(topics.MEMBERS, topics.ROSTER_KEY, key.sign(Roster(1, ())).to_bytes())


def test_a_log_on_which_nothing_is_by_the_pinned_registrar_is_told_from_an_empty_one_and_from_noise_on_ones_own() -> (
    None
):
    directory = Directory(MINE.public)
    assert not directory.is_anothers
    with pytest.raises(PeerError):
        _feed(directory, OTHER)
    assert directory.is_anothers
    _feed(directory, MINE)
    assert not directory.is_anothers
    assert directory.registrar_id == MINE.key_id.hex()
