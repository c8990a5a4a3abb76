"""How far an update is, from the moment it is sealed to the moment it is settled: the table of the outbox.

Source:   docs/decisions/0051. The table is drawn in docs/states.md.
"""

from collections.abc import Mapping
from enum import Enum, StrEnum


class Stage(Enum):
    """Where an update of the outbox stands."""

    SEALED = "it lies in the outbox and goes out next, or when its pause is over"
    SENDING = "its body is being uploaded, or its Offer acknowledged"
    OFFERED = "its Offer is on the log, a receipt is waited for"
    SETTLED = "it is decided, or can never count any more: row and body go"


class Fact(Enum):
    """What moves an update on."""

    BEGUN = "its turn has come"
    SENT = "the Offer is acknowledged"
    CUT = "sending failed, or was stopped"
    ASKED = "a receipt says `again`: the body is wanted anew"
    UNANSWERED = "no receipt came in a long while, or versions passed it by: it is offered once more"
    DECIDED = "a receipt says counted, refused or void, or decides a later one"
    GIVEN_UP = "it was not offered, and is too old, or the study is over"


TABLE: Mapping[tuple[Stage, Fact], Stage] = {
    (Stage.SEALED, Fact.BEGUN): Stage.SENDING,
    (Stage.SENDING, Fact.SENT): Stage.OFFERED,
    (Stage.SENDING, Fact.CUT): Stage.SEALED,
    (Stage.OFFERED, Fact.ASKED): Stage.SEALED,
    (Stage.OFFERED, Fact.UNANSWERED): Stage.SEALED,
    (Stage.OFFERED, Fact.DECIDED): Stage.SETTLED,
    (Stage.SEALED, Fact.ASKED): Stage.SEALED,  # the Offer's acknowledgement was lost with the process that waited
    (Stage.SEALED, Fact.DECIDED): Stage.SETTLED,  # likewise
    (Stage.SENDING, Fact.DECIDED): Stage.SETTLED,
    (Stage.SEALED, Fact.GIVEN_UP): Stage.SETTLED,
    (Stage.SENDING, Fact.GIVEN_UP): Stage.SETTLED,
}


class Fate(StrEnum):
    """What became of an update, in the ledger's words."""

    COUNTED = "counted"
    REFUSED = "refused"
    VOID = "void"
    OVERTAKEN = "overtaken"  # a later one was decided before it
    STALE = "stale"  # given up here: too old
    ENDED = "ended"  # given up here: the study is over
    LOST = "lost"  # its body was gone
    FORGOTTEN = "forgotten"  # given up here: the study's log begins anew
