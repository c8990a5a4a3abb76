"""Why an update does not count, and why a round fails: the words that receipts and Failed carry."""

from enum import StrEnum


class Refusal(StrEnum):
    """The code of a receipt that refuses."""

    PLAN = "plan"
    MALFORMED = "malformed"
    TRUSTEES = "trustees"
    STALE = "stale"
    FLOOR = "floor"
    RANGE = "range"
    STRANGER = "stranger"  # its site was not on the roster when it came
    REVOKED = "revoked"  # its site left the roster while it waited
    EXCLUDED = "excluded"
    FINAL = "final"
    DUPLICATE = "duplicate"  # asked for again, and overtaken by a later one


class Failure(StrEnum):
    """The code of a Failed."""

    RANGE = "range"  # the sum has a word that no honest cohort gives
    EXAMPLES = "examples"  # the sum of the example weights is none
    GONE = "gone"  # a successor does not get a body of the cohort any more
