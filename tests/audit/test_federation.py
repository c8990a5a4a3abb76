"""A federation without await: what a notebook is given."""

import inspect
import traceback
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from audit.federation import AsyncFederation, Federation
from audit.history import StudyHistory
from schemas.errors import LocalError, TransientError
from tests.wardround.synthetic import history

OLD = ("connect", "version")


class Growing:
    """Stands for an AsyncFederation: a history that grows three times, then the broker is gone."""

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

    async def model(self, study: str, version: int | None = None) -> tuple[str, int | None]:
        return study, version


def federation() -> tuple[Growing, Federation]:
    growing, made = Growing(), Federation("127.0.0.1:1", registrar_key=bytes(32))
    made._federation = cast(Any, growing)
    return growing, made


def public(found: type) -> dict[str, Any]:
    names = {name: one for name, one in vars(found).items() if not name.startswith("_")}
    return {name: one for name, one in names.items() if name not in (*OLD, "close")}


def test_a_study_is_followed_and_its_error_is_the_callers() -> None:
    growing, made = federation()
    with made, pytest.raises(TransientError, match="gone"):
        list(made.follow("lung"))
    assert (growing.given, growing.closed) == (3, True)


def test_a_loop_that_is_left_early_closes_its_readers() -> None:
    growing, made = federation()
    with made:
        for _ in made.follow("lung"):
            break
    assert (growing.given, growing.closed) == (1, True)


def test_the_federation_can_be_closed_inside_the_loop() -> None:
    _, made = federation()
    for _ in made.follow("lung"):
        made.close()
        break


def test_what_is_asked_of_a_closed_federation_is_answered_with_what_to_do() -> None:
    _, made = federation()
    made.close()
    with pytest.raises(LocalError, match="closed") as caught:
        made.model("lung")
    assert "Federation(...)" in caught.value.hint


def test_both_federations_can_be_asked_the_same_with_the_same_words() -> None:
    awaited, plain = public(AsyncFederation), public(Federation)
    assert awaited.keys() == plain.keys()
    for name, one in awaited.items():
        assert [*inspect.signature(one).parameters] == [*inspect.signature(plain[name]).parameters]
    own = [name for name in inspect.signature(Federation).parameters if not name.startswith("proxy")]
    assert [*inspect.signature(AsyncFederation).parameters] == own, "the other one dials by the loop it is asked on"


def test_paths_are_taken_as_text_and_a_missing_one_is_named() -> None:
    with pytest.raises(LocalError, match=r"nowhere/registrar\.pub"):
        Federation("127.0.0.1:1", registrar_key="nowhere/registrar.pub")
    with pytest.raises(LocalError, match=r"nowhere/site-1\.open"):
        Federation("127.0.0.1:1", registrar_key=bytes(32), member="site-1", opening_key="nowhere/site-1.open")


def test_a_notebook_shows_the_hint_of_an_error() -> None:
    error = LocalError("no study lnug on this federation", hint="published studies: lung")
    assert "hint: published studies: lung" in "".join(traceback.format_exception_only(error))


def test_old_names_still_do_what_they_did_and_say_which_name_is_new() -> None:
    _, made = federation()
    with made, pytest.warns(DeprecationWarning, match=r"model\(") as told:
        assert cast(Any, made.version("lung", 7)) == ("lung", 7)
    assert told[0].filename == __file__
    with pytest.warns(DeprecationWarning, match=r"Federation\(\.\.\.\)$"):
        Federation.connect("127.0.0.1:1", registrar_key=bytes(32)).close()


async def test_the_old_way_to_await_a_federation_still_does() -> None:
    with pytest.warns(DeprecationWarning, match="AsyncFederation"):
        async with Federation("127.0.0.1:1", registrar_key=bytes(32)) as found:
            assert isinstance(found, AsyncFederation)
