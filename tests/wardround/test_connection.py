"""A federation without await: what a notebook is given."""

from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from audit.federation import Connection, Federation
from audit.history import StudyHistory
from schemas.errors import TransientError
from tests.wardround.synthetic import history


class Growing:
    """Stands for a Federation: a history that grows three times, then the broker is gone."""

    def __init__(self) -> None:
        self.given, self.closed = 0, False

    async def follow(self, study: str, *, pace_s: float) -> AsyncGenerator[StudyHistory]:
        try:
            for _ in range(3):
                self.given += 1
                yield history()
            raise TransientError("gone")
        finally:
            self.closed = True


def connection() -> tuple[Growing, Connection]:
    growing = Growing()
    return growing, Connection(cast(Any, growing))


def test_a_study_is_followed_and_its_error_is_the_callers() -> None:
    growing, made = connection()
    with made, pytest.raises(TransientError, match="gone"):
        list(made.follow("lung"))
    assert (growing.given, growing.closed) == (3, True)


def test_a_loop_that_is_left_early_closes_its_readers() -> None:
    growing, made = connection()
    with made:
        for _ in made.follow("lung"):
            break
    assert (growing.given, growing.closed) == (1, True)


def test_the_connection_can_be_closed_inside_the_loop() -> None:
    _, made = connection()
    for _ in made.follow("lung"):
        made.close()
        break


def test_whatever_a_federation_can_be_asked_a_connection_can_too() -> None:
    asked = {name for name in vars(Federation) if not name.startswith("_")} - {"connect"}
    assert asked <= set(vars(Connection))
