"""Which of aiokafka's lines reach a hospital's log."""

import logging

from aiokafka import errors

from transport.staying.quiet import OncePerPeriod


def line(message: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord("aiokafka", logging.ERROR, __file__, 1, message, values, None)


def test_a_group_that_its_broker_still_sets_up_is_no_error_to_be_shown() -> None:
    asked = "Group Coordinator Request failed: %s"
    assert not OncePerPeriod().filter(line(asked, errors.GroupCoordinatorNotAvailableError()))
    assert OncePerPeriod().filter(line(asked, errors.GroupAuthorizationFailedError("lead")))


def test_what_nobody_else_says_passes_once_in_a_while() -> None:
    once = OncePerPeriod()
    assert once.filter(line("odd"))
    assert not once.filter(line("odd"))
