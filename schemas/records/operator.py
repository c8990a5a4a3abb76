"""What an operator writes: commands to a study."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar

from schemas.codec import COUNT, ID, Id, Maybe, Record, Text, U, Whole


class Action(IntEnum):
    START = 1
    PAUSE = 2
    RESUME = 3
    STOP = 4
    EXCLUDE = 5
    INCLUDE = 6
    CLOSE = 7


@dataclass(frozen=True, slots=True)
class Command(Record):
    """Operator -> coordinator, `.commands`: signed, so that a successor obeys it too."""

    KIND: ClassVar[int] = 15
    study: Id  #: study id
    serial: U  #: above that of every command before it that holds; else this one does not hold
    action: Annotated[int, Whole(1, 7)]  #: see Action
    site: Annotated[str | None, Maybe(ID)]  #: whom to exclude or include; none for other actions
    version: Annotated[int | None, Maybe(COUNT)]  #: the newest version of the round to close; none for other actions
    reason: Annotated[str, Text(200)]  #: for people

    def check(self) -> None:
        if (self.site is not None) != (self.action in (Action.EXCLUDE, Action.INCLUDE)):
            raise ValueError("Command.site: exclude and include name a site, nothing else does")
        if (self.version is not None) != (self.action == Action.CLOSE):
            raise ValueError("Command.version: closing a round names a version, nothing else does")
