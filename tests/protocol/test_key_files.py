"""Which modes of a key file are taken: the owner's alone, and what a container platform gives and nobody can change."""

from pathlib import Path

import pytest

from protocol.key_files import read_key, why_open
from schemas.errors import LocalError

ROOT, US, OTHER = 0, 1000, 1001


@pytest.mark.parametrize(
    ("mode", "owner", "read_only"),
    [
        (0o600, US, False),
        (0o400, US, False),
        (0o400, ROOT, True),
        (0o440, ROOT, True),  # a secret mounted with a group of the service
        (0o440, ROOT, False),  # of root: its reader cannot make it stricter
        (0o440, US, True),  # ours, on a mount on which nobody can change it
    ],
)
def test_a_key_that_its_service_could_not_close_further_is_taken(mode: int, owner: int, *, read_only: bool) -> None:
    assert why_open(mode, owner, US, read_only=read_only) == ""


@pytest.mark.parametrize("mode", [0o440, 0o640, 0o604, 0o660])
def test_a_key_of_ours_that_we_can_close_is_to_be_closed(mode: int) -> None:
    assert "chmod 600" in why_open(mode, US, US, read_only=False)
    assert "chmod 600" in why_open(mode, ROOT, ROOT, read_only=False)


@pytest.mark.parametrize("mode", [0o444, 0o460, 0o450, 0o404])
def test_a_key_that_anybody_may_read_is_refused_with_a_hint_that_can_be_followed(mode: int) -> None:
    hint = why_open(mode, ROOT, US, read_only=True)
    assert "chmod" not in hint
    assert "defaultMode" in hint
    assert why_open(0o440, OTHER, US, read_only=True)


def test_the_hint_names_the_file(tmp_path: Path) -> None:
    key = tmp_path / "site.sign"
    key.write_bytes(bytes(32))
    key.chmod(0o640)
    with pytest.raises(LocalError, match="mode 0640") as refused:
        read_key(key, 32, "signing")
    assert refused.value.hint == f"run: chmod 600 {key}"
    key.chmod(0o600)
    assert read_key(key, 32, "signing") == bytes(32)
