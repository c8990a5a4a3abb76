"""What a trainer may answer, field by field: everything else is refused, and the trainer with it.

Knows:    the task's own code runs in the trainer, so an answer is whatever that code wants it to be.
Never:    lets a number through that is not finite, or a text that was not cleaned.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from learning.marks import NOT_FINITE
from participant.training.channel import TEXT_MAX, GarbledError, Message
from participant.training.reasons import ANSWERED, Reason
from schemas.codec import ID, U_MAX
from schemas.text import plain

VALUES_MAX = 1024
SET_ASIDE_MAX = 1024
NAME_MAX = 120
SAID_MAX = 20  # metrics of a study that are told one by one: a task may invent new ones for ever
BURST, RATE_S = 64, 32  # messages while one request runs; a trainer reports four times a second

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the task says of itself and of this site's data.

    records, bad_records   read by the task's quarantine, and set aside by it; none when the task does not use it
    set_aside              (file, column, rule, records), a record once for each rule that it breaks
    labels                 (file, column, label, records, set aside), where records were set aside
    """

    parameters: int
    metric: str
    higher_is_better: bool
    examples: int
    bytes_data: int
    records: int = 0
    bad_records: int = 0
    set_aside: Sequence[tuple[str, str, str, int]] = ()
    labels: Sequence[tuple[str, str, str, int, int]] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a request came to nothing; the texts may be the task's own words, cleaned."""

    reason: Reason
    message: str
    hint: str


class Pace:
    """How much a trainer may write while one request runs; who writes more keeps the service from everything else."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began_s, self._messages = clock, clock(), 0

    def count(self) -> None:
        """One more message has come. Raises GarbledError when that is too many."""
        self._messages += 1
        if self._messages > BURST + RATE_S * (self._clock() - self._began_s):
            raise GarbledError(f"more than {RATE_S} messages a second")


def belongs_to(message: Message, request: int) -> bool:
    """Whether a message is about this request; an earlier one's may still be under way."""
    number = _whole(message, "id")
    if number > request:
        raise GarbledError(f"an answer to request {number}, which nobody made")
    return number == request


def share_of(message: Message) -> float:
    """The share done, 0..1, of a word of progress."""
    return min(1.0, max(0.0, _number(message, "share")))


def failure_of(message: Message) -> Failed | None:
    """Why the request failed; None when it is done."""
    if message["kind"] == "done":
        return None
    if message["kind"] != "failed":
        raise GarbledError("a message of a kind that no trainer sends")
    reason = _text(message, "reason")
    if reason not in ANSWERED:
        raise GarbledError("a failure for a reason that no trainer has")
    return Failed(Reason(reason), plain(_text(message, "message"), TEXT_MAX), plain(_text(message, "hint"), TEXT_MAX))


def loaded_of(message: Message) -> Loaded:
    return Loaded(
        parameters=_whole(message, "parameters"),
        metric=plain(_text(message, "metric"), NAME_MAX),
        higher_is_better=_exactly(message, "higher_is_better", bool),
        examples=_whole(message, "examples"),
        bytes_data=_whole(message, "bytes_data"),
        records=_whole(message, "records"),
        bad_records=_whole(message, "bad_records"),
        set_aside=[(*words, records) for words, (records,) in _counted(message, "set_aside", 1)],
        labels=[(*words, records, lost) for words, (records, lost) in _counted(message, "labels", 2)],
    )


def seconds_of(message: Message) -> float:
    """How long the training took."""
    seconds = _number(message, "seconds")
    if seconds < 0:
        raise GarbledError("a training that took less than no time")
    return seconds


class Values:
    """Metrics as they come from a trainer; one that is no number is dropped, and said once for study and metric."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def of(self, study: str, message: Message) -> dict[str, float]:
        """The finite ones by id. Raises GarbledError when a name or a value is of another type."""
        values = message.get("values")
        if not isinstance(values, dict) or len(values) > VALUES_MAX:
            raise GarbledError("metrics that are no map, or too many")
        kept = {}
        for name in values:
            if not isinstance(name, str):
                raise GarbledError("a metric whose name is no text")
            value = _number(values, name, finite=False)
            if not _is_id(name):
                self._say("a metric whose name is no id ([a-z0-9-], 1 to 40 characters) is dropped", study, "")
            elif name == NOT_FINITE:
                self._say("the model's outputs are not finite: such versions are not scored here", study, name)
            elif not math.isfinite(value):
                self._say("a metric that is not finite is dropped", study, name)
            else:
                kept[name] = value
        return kept

    def _say(self, what: str, study: str, metric: str) -> None:
        told = sum(of == study for of, _ in self._said)
        if (study, metric) not in self._said and told < SAID_MAX:
            self._said.add((study, metric))
            log.warning(what, study=study, **({"metric": metric} if metric else {}))


def _counted(message: Message, name: str, numbers: int) -> list[tuple[tuple[str, str, str], list[int]]]:
    """A list of lines of three words and so many counts."""
    lines = message.get(name)
    if not isinstance(lines, list) or len(lines) > SET_ASIDE_MAX:
        raise GarbledError(f"{name} is no list, or too long")
    found = []
    for line in lines:
        if not isinstance(line, list) or [type(one) for one in line] != [str, str, str, *[int] * numbers]:
            raise GarbledError(f"{name} holds something else than file, column, word and numbers")
        where, column, word = (plain(one, NAME_MAX) for one in line[:3])
        found.append(((where, column, word), [_whole({name: count}, name) for count in line[3:]]))
    return found


def _exactly(message: Message, name: str, kind: type) -> Any:
    value = message.get(name)
    if type(value) is not kind:
        raise GarbledError(f"{name} is no {kind.__name__}")
    return value


def _text(message: Message, name: str) -> str:
    return str(_exactly(message, name, str))


def _whole(message: Message, name: str) -> int:
    value = int(_exactly(message, name, int))
    if not 0 <= value <= U_MAX:
        raise GarbledError(f"{name} is out of range")
    return value


def _number(message: Message, name: str, *, finite: bool = True) -> float:
    """A whole number counts as one; whoever packs 0.0 may send 0."""
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise GarbledError("a value that is no number")
    number = float(value)
    if finite and not math.isfinite(number):
        raise GarbledError(f"{name} is not finite")
    return number


def _is_id(name: str) -> bool:
    try:
        ID.pack(name)
    except ValueError:
        return False
    return True
