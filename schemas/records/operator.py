"""What an operator writes: commands to a study."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar

from schemas.codec import ID, Id, Maybe, Record, Text, U, Whole


class Action(IntEnum):
    START = 1
    PAUSE = 2
    RESUME = 3
    STOP = 4
    EXCLUDE = 5
    INCLUDE = 6


@dataclass(frozen=True, slots=True)
class Command(Record):
    """Operator -> coordinator, `.commands`: signed, so that a successor obeys it too."""

    KIND: ClassVar[int] = 15
    study: Id
    serial: U
    action: Annotated[int, Whole(1, 6)]
    site: Annotated[str | None, Maybe(ID)]
    reason: Annotated[str, Text(200)]
