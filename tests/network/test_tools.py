"""A program that is not here lets a desk skip with a reason, and CI fail."""

import os

import pytest

from tests.network.tools import need_namespaces, needed


def test_a_desk_without_a_program_skips_and_says_which_package_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WARDROUND_REQUIRE_NETWORK", raising=False)
    with pytest.raises(
        pytest.skip.Exception, match=r"no-such-program not installed here: apt-get install no-such-program"
    ):
        needed("sh", "no-such-program")


def test_ci_without_a_program_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDROUND_REQUIRE_NETWORK", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-program"):
        needed("no-such-program")


def test_whoever_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WARDROUND_REQUIRE_NETWORK", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(pytest.skip.Exception, match="by root alone"):
        need_namespaces("ip")


def test_a_right_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WARDROUND_REQUIRE_NETWORK", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(pytest.skip.Exception, match="no network namespace can be made here"):
        need_namespaces("false")
